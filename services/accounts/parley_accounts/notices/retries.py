"""When a delivery that failed is tried again: ever later, for a day."""

from collections.abc import Callable

FIRST_DELAY_MS = 5_000
GROWTH = 3
LONGEST_DELAY_MS = 4 * 3_600_000
GIVE_UP_MS = 24 * 3_600_000
LONGEST_ASKED_MS = 3_600_000
"""How far a server may put its next attempt off by Retry-After."""
JITTER = 0.25
"""By how large a part each delay is shorter or longer: what failed at once does not return at once."""

Random = Callable[[], float]


def delay_ms(attempts: int, random: Random, *, asked_s: int | None = None) -> int:
    """Return how long to wait after so many failed attempts (from 1).

    Args:
        attempts: How many have failed.
        random: Returns a number from 0 to 1.
        asked_s: What the server's Retry-After says; it lengthens the wait, up to an hour.
    """
    grown = min(FIRST_DELAY_MS * GROWTH ** min(attempts - 1, 20), LONGEST_DELAY_MS)
    jittered = round(grown * (1 + JITTER * (2 * random() - 1)))
    return max(jittered, min((asked_s or 0) * 1000, LONGEST_ASKED_MS))


def next_try_ms(
    attempts: int, *, now_ms: int, gives_up_at_ms: int, random: Random, asked_s: int | None = None
) -> int | None:
    """Return when to try again, or None when that would be after the delivery is given up."""
    at_ms = now_ms + delay_ms(attempts, random, asked_s=asked_s)
    return at_ms if at_ms <= gives_up_at_ms else None
