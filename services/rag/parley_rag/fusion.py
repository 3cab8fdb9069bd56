"""One ranking of candidates: by meaning, by words, or by both."""

from collections.abc import Iterable, Mapping, Sequence

from parley_contracts.rag import SearchMode

from parley_rag.vectors import Candidate

Ranked = list[tuple[str, float]]
"""Passage ids with their scores, best first."""

_MEANING_WEIGHT = 0.5
_RRF_K = 60


def rank(candidates: Sequence[Candidate], mode: SearchMode, *, most_by_words: float, limit: int) -> Ranked:
    """Return candidates with scores from 0 to 1; `limit` is how many each way was asked for.

    But for `rrf` scores are absolute, so that a low best score means that nothing fits the query: the cosine
    as it is, and BM25 as a share of `most_by_words`, what a passage full of the query's words would have.
    """
    if mode is SearchMode.RRF:
        return _best_first(_by_places(candidates, limit).items())
    scored = ((candidate.id, _score(candidate, mode, most_by_words)) for candidate in candidates)
    return _best_first(scored)


def reordered(ranked: Ranked, scores: Mapping[str, float]) -> Ranked:
    """Return the passages that have another score in its order, then the rest.

    The scores that were there stay, from the best down: they say whether anything fits the query, and the
    others need not.
    """
    again = sorted((id_ for id_, _ in ranked if id_ in scores), key=lambda id_: -scores[id_])
    rest = [id_ for id_, _ in ranked if id_ not in scores]
    return [(id_, score) for id_, (_, score) in zip([*again, *rest], ranked, strict=True)]


def _score(candidate: Candidate, mode: SearchMode, most_by_words: float) -> float:
    meaning = max(0.0, candidate.cosine or 0.0)
    words = min(1.0, candidate.bm25 / most_by_words) if most_by_words > 0 else 0.0
    match mode:
        case SearchMode.MEANING:
            return meaning
        case SearchMode.WORDS:
            return words
        case _:
            return _MEANING_WEIGHT * meaning + (1 - _MEANING_WEIGHT) * words


def _by_places(candidates: Iterable[Candidate], limit: int) -> dict[str, float]:
    """Return reciprocal-rank fusion (Cormack et al. 2009) of the two lists; the first of both has 1."""
    near = {found.id: found.cosine for found in candidates if found.cosine is not None}
    worded = {found.id: found.bm25 for found in candidates if found.bm25}
    fused: dict[str, float] = {}
    for scores in (near, worded):
        for place, (id_, _) in enumerate(_best_first(scores.items())[:limit], start=1):
            fused[id_] = fused.get(id_, 0.0) + (_RRF_K + 1) / 2 / (_RRF_K + place)
    return fused


def _best_first(scored: Iterable[tuple[str, float]]) -> Ranked:
    return sorted(scored, key=lambda found: (-found[1], found[0]))
