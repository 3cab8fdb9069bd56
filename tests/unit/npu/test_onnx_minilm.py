"""The real model's vectors against a forward pass written out in numpy."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from parley_npu import tokenizing
from parley_npu.backends.onnx_minilm import OnnxMiniLm
from parley_npu.model_files import ModelFiles
from parley_npu.tokenizing import WordPieces
from tokenizers import Tokenizer

pytestmark = pytest.mark.model

Array = NDArray[np.float64]

TEXTS = [
    "What is the boiling point of water at high altitude?",
    "",
    "Unaffable résumé—naïve façade, 東京 2024!",
    "flutter of thin cylindrical shells in a supersonic stream " * 30,
]


@pytest.fixture(scope="module")
def minilm(model_files: ModelFiles) -> OnnxMiniLm:
    backend = OnnxMiniLm(model_files)
    backend.open()
    return backend


@pytest.fixture(scope="module")
def pieces(model_files: ModelFiles) -> WordPieces:
    return WordPieces(model_files)


def read_tensors(path: Path) -> dict[str, Array]:
    raw = path.read_bytes()
    header_bytes = int.from_bytes(raw[:8], "little")
    header: dict[str, Any] = json.loads(raw[8 : 8 + header_bytes])
    body = raw[8 + header_bytes :]
    return {
        name: np.frombuffer(body[entry["data_offsets"][0] : entry["data_offsets"][1]], "<f4")
        .reshape(entry["shape"])
        .astype(np.float64)
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }


class Reference:
    """BERT as its paper writes it, one text at a time in float64, without padding."""

    def __init__(self, files: ModelFiles) -> None:
        self._tensors = read_tensors(files.weights)
        self._tokenizer = Tokenizer.from_file(str(files.tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(256)  # pyright: ignore[reportUnknownMemberType] -- untyped **kwargs

    def embed(self, text: str) -> Array:
        ids: list[int] = self._tokenizer.encode(text).ids
        tensors = self._tensors
        x = tensors["embeddings.word_embeddings.weight"][ids]
        x = x + tensors["embeddings.position_embeddings.weight"][: len(ids)]
        x = self._norm(x + tensors["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for layer in range(6):
            name = f"encoder.layer.{layer}"
            attended = self._dense(self._attention(x, name), f"{name}.attention.output.dense")
            x = self._norm(x + attended, f"{name}.attention.output.LayerNorm")
            inner = self._dense(x, f"{name}.intermediate.dense")
            inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
            x = self._norm(x + self._dense(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
        mean = x.mean(axis=0)
        return mean / np.linalg.norm(mean)

    def _attention(self, x: Array, name: str) -> Array:
        query, key, value = (
            self._dense(x, f"{name}.attention.self.{part}").reshape(len(x), 12, 32).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        weights = np.exp(query @ key.swapaxes(1, 2) / math.sqrt(32))
        weights /= weights.sum(axis=-1, keepdims=True)
        return (weights @ value).swapaxes(0, 1).reshape(len(x), 384)

    def _dense(self, x: Array, name: str) -> Array:
        return x @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"]

    def _norm(self, x: Array, name: str) -> Array:
        x = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-12)
        return x * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"]


def test_vectors_agree_with_the_reference_in_numpy(
    minilm: OnnxMiniLm, pieces: WordPieces, model_files: ModelFiles
) -> None:
    reference = Reference(model_files)

    vectors = minilm.infer(pieces.cut(TEXTS))

    for text, vector in zip(TEXTS, vectors, strict=True):
        assert vector @ reference.embed(text) > 0.99999


def test_tokens_are_neither_padded_nor_cut_at_the_files_128(pieces: WordPieces) -> None:
    short, long = pieces.cut(["a short question", "word " * 200])

    assert len(short.tokens) == 5
    assert len(long.tokens) == 202


def test_a_text_is_cut_at_256_tokens_and_keeps_its_end_mark(pieces: WordPieces) -> None:
    (text,) = pieces.cut(["word " * 5000])

    assert len(text.tokens) == 256
    assert text.tokens[-1] == 102
    assert text.text == ("word " * 254).rstrip()


def test_a_text_as_cut_has_the_tokens_of_the_whole(pieces: WordPieces) -> None:
    (text,) = pieces.cut(["Grüße, 東京 naïve " * 80])

    (again,) = pieces.cut([text.text])

    assert list(again.tokens) == list(text.tokens)


def test_a_question_is_nearest_to_its_answer(minilm: OnnxMiniLm, pieces: WordPieces) -> None:
    question, *passages = minilm.infer(
        pieces.cut(
            [
                "How do I get my money back?",
                "Customers may request a refund within thirty days.",
                "The server listens on port 8000 by default.",
                "Bake the bread for forty minutes.",
            ]
        )
    )

    assert max(range(3), key=lambda row: question @ passages[row]) == 0
    assert question @ passages[0] > 0.4


# The last token of the window stands where the first reading ends, in the middle of a word.
FILLED = ("b " * 253).ljust(tokenizing.FIRST_CHARS - 4)


@pytest.mark.parametrize(
    "filler", ["", FILLED, " " * 1990, "a" * 1990, "b c " * 120, "e\u0301" * 700, " " * 40_000]
)
@pytest.mark.parametrize(
    "word", ["naïve façade, ", "中", "a" * 99 + " ", "a" * 101 + " ", "a" * 2047 + " ", "!"]
)
def test_a_long_text_is_cut_alike_whether_it_is_read_at_once_or_as_far_as_is_needed(
    pieces: WordPieces, monkeypatch: pytest.MonkeyPatch, filler: str, word: str
) -> None:
    texts = [filler + word * (40_000 // len(word)), "short", filler + word]
    as_needed = pieces.cut(texts)
    monkeypatch.setattr(tokenizing, "FIRST_CHARS", tokenizing.MAX_CHARS)

    assert as_needed == pieces.cut(texts)
