"""How good rankings are: nDCG, recall, reciprocal rank, and whether a difference is more than chance."""

import math
import random
from collections.abc import Collection, Sequence

_RESAMPLES = 2_000


def ndcg(ranked: Sequence[int], relevant: Collection[int], depth: int) -> float:
    """Return the normalised discounted cumulative gain of a ranking; relevance is yes or no."""
    gain = sum(1 / math.log2(place + 2) for place, one in enumerate(ranked[:depth]) if one in relevant)
    best = sum(1 / math.log2(place + 2) for place in range(min(depth, len(relevant))))
    return gain / best


def recall(ranked: Sequence[int], relevant: Collection[int], depth: int) -> float:
    """Return the share of what is relevant that stands among the first."""
    return len(set(ranked[:depth]) & set(relevant)) / len(relevant)


def reciprocal_rank(ranked: Sequence[int], wanted: int, depth: int) -> float:
    """Return one over the place of what is wanted; 0 beyond `depth`."""
    return 1 / (ranked.index(wanted) + 1) if wanted in ranked[:depth] else 0.0


def mean(values: Sequence[float]) -> float:
    """Return the mean; NaN of none."""
    return sum(values) / len(values) if values else math.nan


def difference(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of one less other, query by query, and where 95% of resamples of the queries lie."""
    pairs = [a - b for a, b in zip(one, other, strict=True)]
    dice = random.Random(1)
    means = sorted(mean(dice.choices(pairs, k=len(pairs))) for _ in range(_RESAMPLES))
    return mean(pairs), means[int(0.025 * _RESAMPLES)], means[int(0.975 * _RESAMPLES)]
