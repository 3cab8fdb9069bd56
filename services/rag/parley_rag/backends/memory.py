"""A vector index in memory, by brute force: for tests, and the measure that the others are held to."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parley_rag.backends.words import WordWeights
from parley_rag.vectors import Candidate, IndexedPassage, Scope


@dataclass(frozen=True, slots=True)
class _Stored:
    passage: IndexedPassage
    vector: NDArray[np.float32]
    terms: dict[int, float]


class MemoryIndex:
    """Keeps passages in a dictionary."""

    def __init__(self, language: str = "english") -> None:
        self._words = WordWeights(language)
        self._stored: dict[str, _Stored] = {}

    async def put(self, passages: Sequence[IndexedPassage]) -> None:
        for passage in passages:
            terms, weights = self._words.of_passage(passage.words)
            self._stored[passage.id] = _Stored(
                passage, _floats(passage.vector), dict(zip(terms, weights, strict=True))
            )

    async def search(
        self, words: str, vector: bytes | None, scope: Scope, limit: int
    ) -> tuple[Candidate, ...]:
        owned = [item for item in self._stored.values() if item.passage.owner_id == scope.owner_id]
        inside = [item for item in owned if _admits(scope, item.passage)]
        near: dict[str, float] = {}
        if vector is not None:
            query = _floats(vector)
            near = {item.passage.id: float(item.vector @ query) for item in inside}
        worded = self._by_words(words, owned, inside)
        top_near, top_worded = _best(near, limit), _best(worded, limit)
        ids = dict.fromkeys([*top_near, *top_worded])
        return tuple(Candidate(id_, near.get(id_), worded.get(id_, 0.0)) for id_ in ids)

    def _by_words(self, words: str, owned: list[_Stored], inside: list[_Stored]) -> dict[str, float]:
        containing = Counter(term for item in owned for term in item.terms)
        asked = [
            (term, weight * math.log(1 + (len(owned) - containing[term] + 0.5) / (containing[term] + 0.5)))
            for term, weight in zip(*self._words.of_query(words), strict=True)
        ]
        scores = {
            item.passage.id: sum(weight * item.terms.get(term, 0.0) for term, weight in asked)
            for item in inside
        }
        return {id_: score for id_, score in scores.items() if score > 0}

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

    async def flush(self) -> None:
        pass

    async def check(self) -> None:
        pass


def _floats(vector: bytes) -> NDArray[np.float32]:
    return np.frombuffer(vector, dtype="<f4").astype(np.float32)


def _admits(scope: Scope, passage: IndexedPassage) -> bool:
    return (
        (scope.collections is None or passage.collection in scope.collections)
        and (scope.document_ids is None or passage.document_id in scope.document_ids)
        and passage.document_id not in scope.hidden_document_ids
    )


def _best(scores: dict[str, float], limit: int) -> list[str]:
    return sorted(scores, key=lambda id_: -scores[id_])[:limit]
