"""Quotas: what a turn is to spend is reserved before it runs, and settled when it is known what it has."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.usage import Amount, ScopeTotal

from parley_limits.rates import Take, Verdict

Place = tuple[str, str]
"""A scope and a period: what one quota is about."""

DAY_MS = 86_400_000
REMEMBERED_MS = 72_000_000
"""How long a turn is remembered: less than the day in which nobody runs it again."""
KEPT_MS = {"day": 2 * DAY_MS, "month": 33 * DAY_MS}
"""How long the count of a period is kept after it was last used."""


class LedgerAwayError(ParleyError):
    """Nobody can tell what was spent."""

    def __init__(self, reason: str) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, reason)


@dataclass(frozen=True, slots=True)
class Most:
    """What may be spent; None is no limit."""

    turns: int | None = None
    tokens: int | None = None
    micros: int | None = None

    @property
    def limits(self) -> tuple[int | None, int | None, int | None]:
        """The three in the order of an amount."""
        return self.turns, self.tokens, self.micros

    @property
    def is_limited(self) -> bool:
        """Whether anything is."""
        return any(one is not None for one in self.limits)

    def share(self, percent: int) -> "Most":
        """Return so many hundredths of it."""
        return Most(*(None if one is None else one * percent // 100 for one in self.limits))


def numbers(amount: Amount) -> tuple[int, int, int]:
    """Return an amount's three numbers."""
    return amount.turns, amount.tokens, amount.micros


@dataclass(frozen=True, slots=True)
class Quota:
    """What may be spent by one scope in one period."""

    scope: str
    period: str
    most: Most

    @property
    def place(self) -> Place:
        """What it is about."""
        return self.scope, self.period


@dataclass(frozen=True, slots=True)
class Claim:
    """What a turn wants to spend.

    Attributes:
        turn_id: The turn; a claim of one that has claimed before changes nothing.
        amount: What it is expected to spend.
        quotas: What it spends from.
        lasts_ms: After which the turn has ended; what is still reserved then is looked up anew.
    """

    turn_id: str
    amount: Amount
    quotas: tuple[Quota, ...]
    lasts_ms: int


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """A turn that was accepted and is not settled; `name` tells it from an earlier one of the same id."""

    turn_id: str
    name: str
    amount: Amount
    places: tuple[Place, ...]
    lasts_ms: int


class Outcome(IntEnum):
    """What became of a claim; the numbers are those of the script.

    REPEAT: the turn has claimed before. LOST: what is reserved is not known, `begin` is needed. COLD: what
    was spent in some places is not known, `load` is needed.
    """

    RESERVED = 0
    REPEAT = 1
    LOST = 2
    COLD = 3
    EXCEEDED = 4
    LIMITED = 5


@dataclass(frozen=True, slots=True)
class Reserved:
    """What became of a claim; `places` are those that are cold or exceeded."""

    outcome: Outcome
    verdict: Verdict = field(default_factory=Verdict)
    places: tuple[Place, ...] = ()


class Ledger(Protocol):
    """Keeps what was spent and what is reserved. Each raises LedgerAwayError when it is away."""

    async def reserve(self, takes: Sequence[Take], claim: Claim) -> Reserved:
        """Take from all buckets and reserve in all quotas, or neither."""
        ...

    async def adopt(self, turns: Sequence[OpenTurn]) -> None:
        """Know of these turns, beside those that it knows; their places are to be loaded anew."""
        ...

    async def prove(self) -> None:
        """Answer, and do nothing else."""
        ...

    async def begin(self, turns: Sequence[OpenTurn]) -> None:
        """Know of these turns, beside those that it knows; everything that was spent is to be loaded anew."""
        ...

    async def load(self, totals: Sequence[ScopeTotal]) -> None:
        """Know what was spent, unless something later is known."""
        ...

    async def settle(self, turn_id: str, totals: Sequence[ScopeTotal]) -> None:
        """End a turn's reservation; the totals are those behind it."""
        ...

    async def release(self, claim: Claim) -> None:
        """End the reservation of a turn that never ran."""
        ...
