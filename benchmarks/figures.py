"""Figures of samples, as the tables show them."""

import math
import statistics
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of the values do not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else math.nan


def median(values: Sequence[float]) -> float:
    """Return the median; 0 of none."""
    return statistics.median(values) if values else 0.0


def with_unanswered(values: Sequence[float], wanted: int) -> list[float]:
    """Return the values, and infinity for each that never came: who does not answer is not the quickest."""
    return [*values, *[math.inf] * (wanted - len(values))]


LEAST_FOR_P99 = 100
"""Of fewer values the 99th percentile is the largest one, which stands there already."""


def spread(values: Sequence[float], digits: int = 2) -> dict[str, float | None]:
    """Return p50, p99 (None of too few values) and the largest value; infinity of none."""
    if not values:
        return dict.fromkeys(("p50", "p99", "max"), math.inf)
    return {
        "p50": round(percentile(values, 50), digits),
        "p99": round(percentile(values, 99), digits) if len(values) >= LEAST_FOR_P99 else None,
        "max": round(max(values, default=0.0), digits),
    }
