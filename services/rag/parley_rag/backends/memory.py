"""A vector index in memory, by brute force: for tests, and the measure that the others are held to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parley_rag.vectors import Candidate, IndexedPassage, Scope
from parley_rag.words import Terms


@dataclass(frozen=True, slots=True)
class _Stored:
    passage: IndexedPassage
    vector: NDArray[np.float32]
    terms: dict[int, float]


class MemoryIndex:
    """Keeps passages in a dictionary."""

    def __init__(self) -> None:
        self._stored: dict[str, _Stored] = {}
        self.made_anew = False

    async def settle(self) -> None:
        pass

    async def put(self, passages: Sequence[IndexedPassage]) -> None:
        for passage in passages:
            terms = dict(zip(*passage.terms, strict=True))
            self._stored[passage.id] = _Stored(passage, _floats(passage.vector), terms)

    async def search(
        self, terms: Terms, vector: bytes | None, scope: Scope, limit: int
    ) -> tuple[Candidate, ...]:
        inside = [item for item in self._stored.values() if _admits(scope, item.passage)]
        near: dict[str, float] = {}
        if vector is not None:
            query = _floats(vector)
            near = {item.passage.id: float(item.vector @ query) for item in inside}
        worded = _by_words(terms, inside)
        top_near, top_worded = _best(near, limit), _best(worded, limit)
        ids = dict.fromkeys([*top_near, *top_worded])
        return tuple(Candidate(id_, near.get(id_), worded.get(id_, 0.0)) for id_ in ids)

    async def vectors(self, ids: Sequence[str]) -> dict[str, bytes]:
        return {id_: self._stored[id_].passage.vector for id_ in ids if id_ in self._stored}

    async def remove_document(self, owner_id: str, document_id: str) -> None:
        self._stored = {
            id_: item
            for id_, item in self._stored.items()
            if (item.passage.owner_id, item.passage.document_id) != (owner_id, document_id)
        }

    async def count(self, owner_id: str, document_id: str) -> int:
        return sum(
            (item.passage.owner_id, item.passage.document_id) == (owner_id, document_id)
            for item in self._stored.values()
        )

    async def total(self) -> int:
        return len(self._stored)

    async def page(self, cursor: str | None, limit: int) -> tuple[tuple[IndexedPassage, ...], str | None]:
        ids = sorted(id_ for id_ in self._stored if cursor is None or id_ >= cursor)
        following = ids[limit] if len(ids) > limit else None
        return tuple(self._stored[id_].passage for id_ in ids[:limit]), following

    async def flush(self) -> None:
        pass

    async def check(self) -> None:
        pass


def _floats(vector: bytes) -> NDArray[np.float32]:
    return np.frombuffer(vector, dtype="<f4").astype(np.float32)


def _by_words(terms: Terms, inside: list[_Stored]) -> dict[str, float]:
    asked = list(zip(*terms, strict=True))
    scores = {
        item.passage.id: sum(weight * item.terms.get(term, 0.0) for term, weight in asked) for item in inside
    }
    return {id_: score for id_, score in scores.items() if score > 0}


def _admits(scope: Scope, passage: IndexedPassage) -> bool:
    return (
        passage.owner_id == scope.owner_id
        and (scope.collections is None or passage.collection in scope.collections)
        and (scope.document_ids is None or passage.document_id in scope.document_ids)
        and passage.document_id not in scope.hidden_document_ids
        and (scope.content_types is None or passage.content_type in scope.content_types)
        and (scope.dated_from_ms is None or passage.dated_ms >= scope.dated_from_ms)
        and (scope.dated_before_ms is None or passage.dated_ms < scope.dated_before_ms)
    )


def _best(scores: dict[str, float], limit: int) -> list[str]:
    return sorted(scores, key=lambda id_: -scores[id_])[:limit]
