"""How much of something may be had: token buckets, what is taken from them, and what is left."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

MICROS = 1_000_000
_RATE = re.compile(r"([0-9]{1,9})/([0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class Rate:
    """A bucket of `burst` tokens that is full again `window_s` after it was emptied.

    It is kept as one number: the time at which it is full (the generic cell rate algorithm, ITU-T I.371).
    """

    burst: int
    window_s: int

    @property
    def window_us(self) -> int:
        """The window in microseconds."""
        return self.window_s * MICROS

    @property
    def token_us(self) -> int:
        """In how many microseconds one token comes back."""
        return max(1, self.window_us // self.burst)

    def scaled(self, factor: float) -> "Rate":
        """Return a rate of so many times as many tokens, at least one."""
        return Rate(max(1, int(self.burst * factor)), self.window_s)


def parse_rate(text: str) -> Rate | None:
    """Return the rate of `tokens/seconds`, such as `60/60`; None of `0`. ValueError for anything else."""
    if text.strip() == "0":
        return None
    found = _RATE.fullmatch(text.strip())
    if found is None or not int(found[1]) or not int(found[2]):
        raise ValueError(f"{text!r} is no rate: tokens/seconds, such as 60/60, or 0 for no limit")
    return Rate(int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class Take:
    """Tokens that are wanted from one bucket.

    Attributes:
        name: The kind of limit, as clients are told it.
        key: Whose bucket it is, among all of that kind.
        rate: Its size.
        cost: How many tokens.
        is_owed: Taken whatever is left, down to an empty bucket, and never refused.
    """

    name: str
    key: str
    rate: Rate
    cost: int = 1
    is_owed: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """A bucket after it was asked.

    Attributes:
        name: The kind of limit.
        rate: Its size.
        left: Whole tokens that are there now.
        full_s: In how many seconds it is full; 0 when it is.
    """

    name: str
    rate: Rate
    left: int
    full_s: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the takes of one request: all of them or none.

    Attributes:
        standings: Each bucket, in the order in which they were asked.
        refused_by: The name of the limit that refused; None when everything was taken.
        retry_after_s: When all would be there, if nobody else took any.
    """

    standings: tuple[Standing, ...] = ()
    refused_by: str | None = None
    retry_after_s: int = 0


def judged(takes: Sequence[Take], waits_us: Sequence[int], full_us: Sequence[int]) -> Verdict:
    """Return the verdict on buckets that are full in `full_us` and would have to be waited for `waits_us`."""
    standings = tuple(
        Standing(
            take.name,
            take.rate,
            max(0, (take.rate.window_us - until_us) // take.rate.token_us),
            math.ceil(until_us / MICROS),
        )
        for take, until_us in zip(takes, full_us, strict=True)
    )
    longest_us = max(waits_us, default=0)
    if longest_us <= 0:
        return Verdict(standings)
    refused_by = takes[list(waits_us).index(longest_us)].name
    return Verdict(standings, refused_by, max(1, math.ceil(longest_us / MICROS)))


class Buckets(Protocol):
    """Where buckets are kept."""

    async def take(self, takes: Sequence[Take]) -> Verdict:
        """Take from all of these buckets, or from none; no two takes name the same bucket.

        Raises:
            ParleyError: `unavailable` when nobody can tell what is left.
        """
        ...
