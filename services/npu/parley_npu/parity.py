"""The proof that a backend gives the vectors of a space: texts, their vectors, and how near they must be."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from parley_npu.backends.embedder import Backend, BackendError, CutText, Tokenizer, Vectors

MIN_COSINE = 0.999
"""Half precision stands at 0.99999 in the simulator of the RK3588's toolkit, 8-bit weights at 0.9997."""

REFERENCE = "parity.json"
MAX_NORM_ERROR = 1e-3
TEXTS_AT_ONCE = 4
SENTINEL = 1
"""The row of the text, a short one, that goes with every batch of what may change."""


@dataclass(frozen=True)
class Parity:
    """Texts and what their vectors are in the space."""

    texts: Sequence[CutText]
    vectors: Vectors

    def cosine(self, backend: Backend) -> float:
        """Return the least cosine of a backend's vectors to these, over the texts that it takes.

        Raises:
            BackendError: A cosine below `MIN_COSINE`, or what the backend raises.
        """
        rows = [row for row, text in enumerate(self.texts) if backend.takes(text)]
        least = 1.0 if rows else 0.0
        for start in range(0, len(rows), TEXTS_AT_ONCE):
            group = rows[start : start + TEXTS_AT_ONCE]
            found = checked(backend.infer([self.texts[row] for row in group]), self.vectors[group].shape)
            least = min(least, float((found * self.vectors[group]).sum(axis=1).min()))
        return _near(least)

    def computed(self, backend: Backend, batch: Sequence[CutText]) -> Vectors:
        """Return a backend's vectors of a batch; BackendError when they cannot be those of the space."""
        dimensions = self.vectors.shape[1]
        if not backend.may_change:
            return checked(backend.infer(batch), (len(batch), dimensions))
        found = checked(backend.infer([*batch, self.texts[SENTINEL]]), (len(batch) + 1, dimensions))
        _near(float(found[-1] @ self.vectors[SENTINEL]))
        return found[:-1]


def checked(vectors: Vectors, shape: tuple[int, ...]) -> Vectors:
    """Return the vectors; BackendError unless they have that shape, are finite and of length one."""
    if vectors.shape != shape:
        raise BackendError(f"its vectors have the shape {vectors.shape}, not {shape}")
    error = np.abs(np.linalg.norm(vectors, axis=1) - 1)
    # Written so that NaN fails too.
    if not bool((error <= MAX_NORM_ERROR).all()):
        raise BackendError("its vectors are not of length one")
    return vectors


def _near(cosine: float) -> float:
    if cosine < MIN_COSINE:
        raise BackendError(f"its vectors are not those of the space: cosine {cosine:.4f}")
    return cosine


def read_parity(tokenizer: Tokenizer) -> Parity:
    """Return the reference that comes with this package, computed in fp32."""
    content: dict[str, Any] = json.loads(files("parley_npu").joinpath(REFERENCE).read_text(encoding="utf-8"))
    texts: list[str] = [str(text["text"]) * int(text.get("times", 1)) for text in content["texts"]]
    rows = np.frombuffer(base64.b64decode(content["vectors"]), "<f2").astype(np.float32)
    vectors = rows.reshape(len(texts), -1)
    return Parity(tokenizer.cut(texts), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
