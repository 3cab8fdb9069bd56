"""One ranking from two: by meaning and by words."""

from collections.abc import Iterable

from parley_rag.vectors import Candidate

_MEANING_WEIGHT = 0.6
_BM25_HALF = 12.0  # the BM25 score that counts as half of what words can give


def fuse(candidates: Iterable[Candidate]) -> list[tuple[str, float]]:
    """Return passage ids with their fused scores (0 to 1), best first.

    Scores are absolute: cosine as it is, BM25 bent to 0..1, so that a low best score means that
    nothing fits the query. Without vectors the words alone decide.
    """
    scored = [(candidate.id, _score(candidate)) for candidate in candidates]
    return sorted(scored, key=lambda found: (-found[1], found[0]))


def _score(candidate: Candidate) -> float:
    bm25 = candidate.bm25 or 0.0
    words = bm25 / (bm25 + _BM25_HALF)
    if candidate.cosine is None:
        return words
    return _MEANING_WEIGHT * max(0.0, candidate.cosine) + (1 - _MEANING_WEIGHT) * words
