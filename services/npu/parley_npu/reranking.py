# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# Reason: onnxruntime publishes no types.
"""Scores how well texts answer a query, by any cross-encoder given as an ONNX graph and its tokenizer."""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tokenizers
from numpy.typing import NDArray
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import Rerank, RerankScores

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

log = logging.getLogger("parley.npu")

GRAPH, TOKENIZER = "model.onnx", "tokenizer.json"
MAX_TOKENS = 512
MAX_CHARS = 32_768
TEXTS_AT_ONCE = 8
# One of them fills the window: a model with room for fewer tokens than MAX_TOKENS fails at the start.
PROBE = ("a question", ("a short text", "long " * MAX_TOKENS))


class CrossEncoder:
    """A folder with `model.onnx` and `tokenizer.json`, as exporters of sentence-transformers write them."""

    def __init__(self, folder: Path) -> None:
        # onnxruntime loads here, off the event loop, and not at all without a reranker.
        from parley_npu.backends.onnx_session import open_session  # noqa: PLC0415 -- see above

        self.name = folder.name
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER))
        # The query is kept whole as long as it can be: without it nothing can be judged.
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        self._session: InferenceSession = open_session(folder / GRAPH)
        self._inputs: set[str] = {one.name for one in self._session.get_inputs()}
        self.scores(*PROBE, threading.Event())

    def scores(self, query: str, texts: Sequence[str], is_over: threading.Event) -> list[float]:
        """Return a score for each text; higher is better. Blocks, and is cut short when nobody waits."""
        pairs = [(query[:MAX_CHARS], text[:MAX_CHARS]) for text in texts]
        encoded = self._tokenizer.encode_batch(pairs)
        scores = [0.0] * len(texts)
        by_length = sorted(range(len(texts)), key=lambda row: len(encoded[row].ids))
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            if is_over.is_set():
                break
            rows = by_length[start : start + TEXTS_AT_ONCE]
            for row, score in zip(rows, self._infer([encoded[row] for row in rows]), strict=True):
                scores[row] = score
        return scores

    def _infer(self, batch: Sequence[tokenizers.Encoding]) -> list[float]:
        longest = max(len(one.ids) for one in batch)
        given = {
            "input_ids": _padded([one.ids for one in batch], longest),
            "attention_mask": _padded([one.attention_mask for one in batch], longest),
            "token_type_ids": _padded([one.type_ids for one in batch], longest),
        }
        wanted = {name: values for name, values in given.items() if name in self._inputs}
        logits = np.asarray(self._session.run(None, wanted)[0], np.float32).reshape(len(batch), -1)
        if logits.shape[1] > 2 or not np.isfinite(logits).all():
            raise ValueError(
                f"no scores of a cross-encoder: {logits.shape[1]} numbers a pair, such as {logits[0, 0]}"
            )
        # One logit is the score itself; of two, the classes "no" and "yes", their distance is.
        return (logits[:, -1] - (logits[:, 0] if logits.shape[1] > 1 else 0)).tolist()


class Reranker:
    """Answers `npu.rerank` with one cross-encoder, one request after another in a thread of its own."""

    def __init__(self, encoder: CrossEncoder | None, missing: str) -> None:
        self._encoder = encoder
        self._missing = missing
        self._thread = ThreadPoolExecutor(1, "reranker")

    async def rerank(self, request: Rerank) -> RerankScores:
        """Return a score for each text; ParleyError `unavailable` when there is no reranker."""
        if self._encoder is None:
            raise ParleyError(ErrorCode.UNAVAILABLE, self._missing)
        is_over, loop = threading.Event(), asyncio.get_running_loop()
        try:
            scores = await loop.run_in_executor(
                self._thread, self._encoder.scores, request.query, request.texts, is_over
            )
        finally:
            is_over.set()
        return RerankScores(model=self._encoder.name, scores=tuple(scores))

    def close(self) -> None:
        self._thread.shutdown(wait=False)


@asynccontextmanager
async def open_reranker(folder: Path | None) -> AsyncGenerator[Reranker]:
    """Load the reranker, if one is given; one that cannot be loaded is logged, and costs no embeddings."""
    encoder, missing = None, "No reranker is configured."
    if folder is not None:
        try:
            encoder = await asyncio.to_thread(CrossEncoder, folder)
        except Exception:
            log.exception("the reranker cannot be loaded", extra={"folder": str(folder)})
            missing = "The reranker that is configured cannot be loaded."
    reranker = Reranker(encoder, missing)
    try:
        yield reranker
    finally:
        reranker.close()


def _padded(rows: Sequence[Sequence[int]], length: int) -> NDArray[np.int64]:
    padded: NDArray[Any] = np.zeros((len(rows), length), np.int64)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    return padded
