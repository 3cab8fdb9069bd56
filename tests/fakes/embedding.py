"""Embeddings without a model: texts that share words are near each other."""

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from parley_contracts.npu import Embed, Embeddings, VectorSpace
from parley_npu.backends.embedder import CutText
from parley_npu.parity import Parity

MODEL = "hashed-words"
ENGINE = "hashed-words"
DIMENSIONS = 384
WINDOW_WORDS = 256
EMPTY_TEXT = zlib.crc32(b"")
PROOF = ("one", "two words", "and some more words")


class HashEmbedder:
    """A tokenizer and a backend that hashes words into signed places: deterministic on every machine."""

    name = "hashed-words"
    may_change = False
    space = VectorSpace(MODEL, ENGINE, DIMENSIONS)

    def cut(self, texts: Sequence[str]) -> list[CutText]:
        return [CutText(text, self._hashed(text) or [EMPTY_TEXT]) for text in texts]

    def _hashed(self, text: str) -> list[int]:
        return [zlib.crc32(word.encode()) for word in re.findall(r"\w+", text.lower())[:WINDOW_WORDS]]

    def open(self) -> None:
        """Hold nothing."""

    def takes(self, text: CutText) -> bool:
        return bool(text.tokens)

    def infer(self, batch: Sequence[CutText]) -> NDArray[np.float32]:
        vectors = np.zeros((len(batch), DIMENSIONS), np.float32)
        for row, text in enumerate(batch):
            for word in text.tokens:
                vectors[row, word % DIMENSIONS] += 1.0 if word >> 31 else -1.0
            if not vectors[row].any():  # words of opposite sign met in one place
                vectors[row, text.tokens[0] % DIMENSIONS] = 1.0
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def close(self) -> None:
        """Hold nothing."""

    def parity(self) -> Parity:
        """Return the reference of this space."""
        texts = self.cut(PROOF)
        return Parity(texts, HashEmbedder.infer(self, texts))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.infer(self.cut(texts))


class FakeNpu:
    """Answers `npu.embed` on a memory bus: `bus.answer(subjects.NPU_EMBED, Embed, FakeNpu().embed)`."""

    def __init__(self) -> None:
        self.requests: list[Embed] = []

    async def embed(self, request: Embed) -> Embeddings:
        self.requests.append(request)
        vectors = HashEmbedder().embed(request.texts).astype("<f4")
        return Embeddings(
            model=MODEL,
            engine=ENGINE,
            computed_by=HashEmbedder.name,
            dimensions=DIMENSIONS,
            vectors=vectors.tobytes(),
        )
