"""What a backend must do to serve embeddings."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

TokenIds = Sequence[int]
Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """A loaded model. Both methods block, may be called from several threads at once, and are pure."""

    @property
    def model(self) -> str:
        """The model's name, such as `all-MiniLM-L6-v2`."""
        ...

    @property
    def engine(self) -> str:
        """Engine and precision, such as `onnx-fp32`: vectors of different engines never mix."""
        ...

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        ...

    def tokenize(self, texts: Sequence[str]) -> Sequence[TokenIds]:
        """Return each text's tokens, cut at the model's window; never empty, even for an empty text."""
        ...

    def infer(self, batch: Sequence[TokenIds]) -> Vectors:
        """Return L2-normalised vectors, len(batch) x dimensions. Batch-mates change none beyond 1e-5."""
        ...
