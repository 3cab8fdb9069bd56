"""Texts as BM25 term weights; every index is given the same ones, so all of them rank alike."""

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache

from qdrant_edge import Bm25, Bm25Config

AVERAGE_TERMS = 90.0  # of a passage after stop words are left out; BM25 normalises lengths by it
_K1 = 1.2
_MOST_WEIGHT = _K1 + 1  # what a term's weight in a passage stays below, however often it is in there

Terms = tuple[list[int], list[float]]
"""Term ids (32 bits, unsigned) and their weights, side by side."""


class WordWeights:
    """Cuts text of one language into stemmed terms and weighs them."""

    def __init__(self, language: str) -> None:
        self._model = Bm25(Bm25Config(k=_K1, b=0.75, avg_len=AVERAGE_TERMS, language=language))

    def of_passage(self, text: str) -> Terms:
        """Return term ids and weights of a stored text."""
        terms = self._model.embed_document(text)
        return list(terms.indices), list(terms.values)

    def of_query(self, text: str) -> dict[int, float]:
        """Return the terms of a query with how often each was asked for."""
        terms = self._model.embed_query(text)
        return dict(zip(terms.indices, terms.values, strict=True))


@lru_cache
def weights_of(language: str) -> WordWeights:
    """Return the weights of a language; ValueError for one that is not known."""
    return WordWeights(language)


def joined_terms(queries: Iterable[Mapping[int, float]]) -> dict[int, float]:
    """Return the terms of a query in every language of the passages that it may find."""
    asked: dict[int, float] = {}
    for query in queries:
        for term, weight in query.items():
            asked[term] = max(weight, asked.get(term, 0.0))
    return asked


def by_rarity(asked: Mapping[int, float], containing: Mapping[int, int], passages: int) -> Terms:
    """Return a query's terms weighed by how few passages contain each; those that none does are left out."""
    found = {term: weight for term, weight in asked.items() if containing.get(term, 0) > 0}
    rarity = [_rarity(containing[term], passages) for term in found]
    return list(found), [weight * rare for weight, rare in zip(found.values(), rarity, strict=True)]


def most_by_words(asked: Mapping[int, float], containing: Mapping[int, int], passages: int) -> float:
    """Return what no passage's score by words exceeds; terms that none contains are counted in."""
    rarity = (weight * _rarity(containing.get(term, 0), passages) for term, weight in asked.items())
    return _MOST_WEIGHT * sum(rarity)


def _rarity(containing: int, passages: int) -> float:
    return math.log(1 + (max(passages, containing) - containing + 0.5) / (containing + 0.5))
