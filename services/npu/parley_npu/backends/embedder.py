"""What a backend must do to compute embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from parley_contracts.errors import ErrorCode, ParleyError

TokenIds = Sequence[int]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CutText:
    """A text cut at the model's window, and its tokens; never none, even of an empty text."""

    text: str
    tokens: TokenIds


class BackendError(ParleyError):
    """A backend failed. The text is for the log: the chain asks the next one and tells no client."""

    def __init__(self, reason: str) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, reason)


class Tokenizer(Protocol):
    """Cuts texts into tokens; blocks, and may be called from several threads at once."""

    def cut(self, texts: Sequence[str]) -> Sequence[CutText]:
        """Return each text cut at the model's window."""
        ...


class Backend(Protocol):
    """One way to compute vectors. `open`, `infer` and `close` block, each for a bounded time."""

    @property
    def name(self) -> str:
        """What it is called in settings, answers and metrics."""
        ...

    @property
    def may_change(self) -> bool:
        """Whether it may come to give other vectors without having failed: each batch then proves itself."""
        ...

    def open(self) -> None:
        """Load what it needs, anew when it was open already; BackendError when it cannot."""
        ...

    def takes(self, text: CutText) -> bool:
        """Whether it can compute this text."""
        ...

    def infer(self, batch: Sequence[CutText]) -> Vectors:
        """Return L2-normalised vectors, len(batch) x dimensions; batch-mates change none beyond 1e-5.

        May be called from several threads at once. Whatever it raises means that it failed.
        """
        ...

    def close(self) -> None:
        """Give up what it holds."""
        ...
