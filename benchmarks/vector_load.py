"""Made-up passages for the vector index: clustered vectors, and words as often as in a language."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from parley_rag.vectors import IndexedPassage
from parley_rag.words import Terms

OWNER = "owner"
DIMENSIONS = 384
COLLECTIONS = 100  # so that one of them holds 1%
_CLUSTER = 500  # passages around one centre
_SPREAD = 0.9  # of a passage around its centre: cosine 0.74 to it, 0.55 to others of it
_WORDS, _WORDS_A_PASSAGE, _WORDS_A_QUERY = 60_000, 90, 8
_COMMON = 20  # the commonest words of a passage are no query's: stop words and their like
_ZIPF = 1.3
_BLOCK = 50_000

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Query:
    """A search with what is nearest by exact comparison, in all and in one collection."""

    vector: bytes
    terms: Terms
    collection: str
    nearest: frozenset[str]
    nearest_inside: frozenset[str]


class VectorLoad:
    """The passages of a seed: passage n is the same in each run."""

    def __init__(self, passages: int, seed: int = 7) -> None:
        chance = np.random.default_rng(seed)
        self._centres = chance.standard_normal((max(1, passages // _CLUSTER), DIMENSIONS), np.float32)
        self._vectors = np.concatenate(
            [self._near_centres(chance, min(_BLOCK, passages - at)) for at in range(0, passages, _BLOCK)]
        )
        self._chance = chance

    def __len__(self) -> int:
        return len(self._vectors)

    def passages(self, batch: int) -> Iterator[list[IndexedPassage]]:
        """Yield all passages in lists."""
        for at in range(0, len(self), batch):
            yield [self._passage(n) for n in range(at, min(len(self), at + batch))]

    def queries(self, count: int, limit: int) -> list[Query]:
        """Return searches with what they should find."""
        wanted = self._near_centres(self._chance, count)
        collections = self._chance.integers(0, COLLECTIONS, count)
        everything = self._nearest(wanted, np.arange(len(self)), limit)
        return [
            Query(
                vector=vector.astype("<f4").tobytes(),
                terms=self._terms(_WORDS_A_QUERY, _COMMON),
                collection=f"c{collection}",
                nearest=frozenset(map(_id, nearest)),
                nearest_inside=frozenset(map(_id, self._nearest_inside(vector, int(collection), limit))),
            )
            for vector, collection, nearest in zip(wanted, collections, everything, strict=True)
        ]

    def _near_centres(self, chance: np.random.Generator, count: int) -> Vectors:
        centres = self._centres[chance.integers(0, len(self._centres), count)]
        vectors = centres + _SPREAD * chance.standard_normal((count, DIMENSIONS), np.float32)
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def _nearest(self, wanted: Vectors, among: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
        """Return the numbers of the nearest passages by comparing all, a block at a time."""
        scores = np.empty((len(wanted), 0), np.float32)
        numbers = np.empty((len(wanted), 0), np.int64)
        for at in range(0, len(among), _BLOCK):
            block = among[at : at + _BLOCK]
            scores = np.hstack([scores, wanted @ self._vectors[block].T])
            numbers = np.hstack([numbers, np.broadcast_to(block, (len(wanted), len(block)))])
            best = np.argsort(-scores, axis=1)[:, :limit]
            scores, numbers = np.take_along_axis(scores, best, 1), np.take_along_axis(numbers, best, 1)
        return numbers

    def _nearest_inside(self, wanted: Vectors, collection: int, limit: int) -> NDArray[np.int64]:
        among: NDArray[np.int64] = np.arange(collection, len(self), COLLECTIONS)
        return self._nearest(wanted[np.newaxis], among, limit)[0]

    def _passage(self, n: int) -> IndexedPassage:
        return IndexedPassage(
            id=_id(n),
            owner_id=OWNER,
            collection=f"c{n % COLLECTIONS}",
            document_id=f"d{n // 20}",
            content_type="text/plain",
            dated_ms=1_700_000_000_000 + n,
            vector=self._vectors[n].astype("<f4").tobytes(),
            terms=self._terms(_WORDS_A_PASSAGE, 0),
        )

    def _terms(self, words: int, least: int) -> Terms:
        found = np.unique(np.minimum(self._chance.zipf(_ZIPF, words) + least, _WORDS))
        return found.tolist(), self._chance.uniform(0.5, 2.2, len(found)).tolist()


def _id(n: int) -> str:
    """Return the id of a passage; ids in order are passages in no order, as those of documents are."""
    return str(uuid.UUID(int=(int(n) * 0x9E3779B97F4A7C15F39CC0605CEDC835) % (1 << 128)))
