"""The vector index: what it stores and how it is asked."""

import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from parley_rag.words import Terms


@dataclass(frozen=True, slots=True)
class IndexedPassage:
    """A passage as it enters the index.

    Attributes:
        id: A UUID; putting the same one again replaces it.
        content_type: Media type of its document.
        dated_ms: The date that its document is found by, Unix milliseconds.
        vector: Little-endian float32, L2-normalised.
        terms: What the word search sees.
    """

    id: str
    owner_id: str
    collection: str
    document_id: str
    content_type: str
    dated_ms: int
    vector: bytes
    terms: Terms


def floats(vector: bytes) -> list[float]:
    """Return the numbers of a vector."""
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def packed(vector: Sequence[float]) -> bytes:
    """Return a vector as it is stored."""
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


@dataclass(frozen=True, slots=True)
class Scope:
    """Which passages a search may return; None means all of the owner's. Dates: from, and before."""

    owner_id: str
    collections: tuple[str, ...] | None = None
    document_ids: tuple[str, ...] | None = None
    hidden_document_ids: tuple[str, ...] = ()
    content_types: tuple[str, ...] | None = None
    dated_from_ms: int | None = None
    dated_before_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that a search found, with its scores; by meaning it has none when there was no vector."""

    id: str
    cosine: float | None
    bm25: float


class VectorIndex(Protocol):
    """Finds passages by meaning (dense cosine) and by words (the dot product of term weights)."""

    made_anew: bool
    """Whether the index is empty because it was made just now, so that what it should hold is not in it."""

    async def settle(self) -> None:
        """Note that the caller knows of `made_anew`: it is False from now on, also after a restart."""
        ...

    async def put(self, passages: Sequence[IndexedPassage]) -> None:
        """Store passages; when it returns, a crash of this process does not lose them."""
        ...

    async def search(
        self, terms: Terms, vector: bytes | None, scope: Scope, limit: int
    ) -> tuple[Candidate, ...]:
        """Return up to `limit` passages by meaning and up to `limit` by words, as one set, in no order.

        `terms` are those of the query, weighed by how rare they are (`words.by_rarity`).
        """
        ...

    async def vectors(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Return the vectors of passages that a search found, without those removed since."""
        ...

    async def remove_document(self, owner_id: str, document_id: str) -> None:
        """Remove all passages of a document; none is fine."""
        ...

    async def count(self, owner_id: str, document_id: str) -> int:
        """Return how many passages of a document are stored."""
        ...

    async def total(self) -> int:
        """Return how many passages of everybody are stored."""
        ...

    async def page(self, cursor: str | None, limit: int) -> tuple[tuple[IndexedPassage, ...], str | None]:
        """Return up to `limit` passages of everybody in the order of their ids, and a cursor of what follows.

        Begin with the cursor None. The last page has no cursor after it.
        """
        ...

    async def flush(self) -> None:
        """Write everything to disk: when it returns, a power cut does not lose what was put."""
        ...

    async def check(self) -> None:
        """Raise when the index does not answer."""
        ...
