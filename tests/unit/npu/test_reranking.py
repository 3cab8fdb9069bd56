# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# Reason: onnx's `helper` functions carry no usable types.
"""A cross-encoder given as a folder: a tiny one that counts how often a text has the query's words."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import Rerank
from parley_npu.reranking import CrossEncoder, open_reranker
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat", "dog", "sleeps", "market"]


def write_encoder(folder: Path, *, classes: int) -> Path:
    """Write a model whose score is the share of a text's words that are `cat`; padding must not count.

    The second row of the pair is known by its token type, and all that is padded by its mask.
    """
    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in names]
    cat = numpy_helper.from_array(np.asarray(WORDS.index("cat"), np.int64), "cat")
    axis = numpy_helper.from_array(np.asarray([1], np.int64), "axis")
    nodes = [
        helper.make_node("Equal", ["input_ids", "cat"], ["is_cat"]),
        helper.make_node("Cast", ["is_cat"], ["cats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["attention_mask", "token_type_ids"], ["own"]),
        helper.make_node("Cast", ["own"], ["own_words"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["cats", "own_words"], ["own_cats"]),
        helper.make_node("ReduceSum", ["own_cats", "axis"], ["found"], keepdims=1),
        helper.make_node("ReduceSum", ["own_words", "axis"], ["length"], keepdims=1),
        helper.make_node("Div", ["found", "length"], ["yes"]),
    ]
    output = "yes"
    if classes > 1:
        output = "logits"
        nodes += [
            helper.make_node("Neg", ["yes"], ["no"]),
            helper.make_node("Concat", [*["no"] * (classes - 1), "yes"], ["logits"], axis=1),
        ]
    graph = helper.make_graph(
        nodes,
        "cats",
        inputs,
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", classes])],
        [cat, axis],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(folder / "model.onnx"))
    return folder


@pytest.mark.parametrize(("classes", "factor"), [(1, 1), (2, 2)])
def test_scores_stand_in_the_order_of_the_texts(tmp_path: Path, classes: int, factor: int) -> None:
    encoder = CrossEncoder(write_encoder(tmp_path / "cats", classes=classes))
    texts = ["cat cat cat", "dog " * 400, "the cat sleeps", *(["market"] * 20), "cat " * 900, ""]
    scores = encoder.scores("cat", texts, threading.Event())

    # The end mark is of the text too.
    assert scores[:3] == pytest.approx([factor * 3 / 4, 0, factor * 1 / 4])  # pyright: ignore[reportUnknownMemberType] - pytest types it so
    assert scores[3:23] == [0] * 20
    assert scores[23] > factor * 0.9
    assert scores[24] == 0


async def test_a_request_is_answered_with_the_models_name(tmp_path: Path) -> None:
    async with open_reranker(write_encoder(tmp_path / "cats", classes=1)) as reranker:
        answer = await reranker.rerank(Rerank(query="cat", texts=("dog sleeps", "cat sleeps")))

    assert answer.model == "cats"
    assert answer.scores[1] > answer.scores[0]


async def test_without_a_reranker_it_is_unavailable() -> None:
    async with open_reranker(None) as reranker:
        with pytest.raises(ParleyError, match="No reranker") as error:
            await reranker.rerank(Rerank(query="cat", texts=("dog",)))

    assert error.value.code is ErrorCode.UNAVAILABLE


async def test_a_request_whose_caller_has_left_is_not_computed_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, gate, batches = threading.Event(), threading.Event(), list[int]()
    infer: Any = CrossEncoder._infer  # pyright: ignore[reportPrivateUsage] - what takes the time

    def gated(encoder: CrossEncoder, batch: list[object]) -> object:
        batches.append(len(batch))
        entered.set()
        assert gate.wait(10)
        return infer(encoder, batch)

    async with open_reranker(write_encoder(tmp_path / "cats", classes=1)) as reranker:
        monkeypatch.setattr(CrossEncoder, "_infer", gated)
        leaving = asyncio.create_task(reranker.rerank(Rerank(query="cat", texts=("dog",) * 100)))
        await asyncio.to_thread(entered.wait, 10)
        leaving.cancel()
        await asyncio.wait([leaving])
        gate.set()
        await reranker.rerank(Rerank(query="cat", texts=("cat",)))

    assert batches == [8, 1]


@pytest.mark.parametrize("classes", [0, 3])
async def test_a_reranker_that_cannot_be_loaded_costs_the_service_nothing_else(
    tmp_path: Path, classes: int
) -> None:
    if classes:
        write_encoder(tmp_path / "cats", classes=classes)
    async with open_reranker(tmp_path / "cats") as reranker:
        with pytest.raises(ParleyError, match="cannot be loaded") as error:
            await reranker.rerank(Rerank(query="cat", texts=("dog",)))

    assert error.value.code is ErrorCode.UNAVAILABLE
    assert str(tmp_path) not in error.value.message
