"""Embeddings without a model: texts that share words are near each other."""

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from parley_contracts.npu import Embed, Embeddings

MODEL = "hashed-words"
ENGINE = "hashed-words"
DIMENSIONS = 384
WINDOW_WORDS = 256
EMPTY_TEXT = zlib.crc32(b"")


class HashEmbedder:
    """An `Embedder` that hashes words into signed places of a vector: deterministic on every machine."""

    model = MODEL
    engine = ENGINE
    dimensions = DIMENSIONS

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return [
            [zlib.crc32(word.encode()) for word in re.findall(r"\w+", text.lower())[:WINDOW_WORDS]]
            or [EMPTY_TEXT]
            for text in texts
        ]

    def infer(self, batch: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        vectors = np.zeros((len(batch), DIMENSIONS), np.float32)
        for row, words in enumerate(batch):
            for word in words:
                vectors[row, word % DIMENSIONS] += 1.0 if word >> 31 else -1.0
            if not vectors[row].any():  # words of opposite sign met in one place
                vectors[row, words[0] % DIMENSIONS] = 1.0
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.infer(self.tokenize(texts))


class FakeNpu:
    """Answers `npu.embed` on a memory bus: `bus.answer(subjects.NPU_EMBED, Embed, FakeNpu().embed)`."""

    def __init__(self) -> None:
        self.requests: list[Embed] = []

    async def embed(self, request: Embed) -> Embeddings:
        self.requests.append(request)
        vectors = HashEmbedder().embed(request.texts).astype("<f4")
        return Embeddings(model=MODEL, engine=ENGINE, dimensions=DIMENSIONS, vectors=vectors.tobytes())
