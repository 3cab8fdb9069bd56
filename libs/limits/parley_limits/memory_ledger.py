"""A ledger of one process: in tests, and for a gateway that cannot reach the shared one."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from parley_contracts.usage import Amount, ScopeTotal

from parley_limits.quotas import Claim, OpenTurn, Outcome, Place, Quota, Reserved, numbers
from parley_limits.rates import Buckets, Take

MOST_TURNS = 100_000
"""Turns that are remembered as settled or open; beyond it the oldest is forgotten."""
UNUSED_MS = 600_000
"""After which the count of a place of which nothing is open is forgotten: it is asked for again."""


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _whole() -> float:
    return 1.0


@dataclass(slots=True)
class _Count:
    spent: Amount = field(default_factory=Amount)
    version: int = -1
    # What was spent and reserved when it was loaded; None until then.
    loaded: tuple[int, int, int] | None = None
    open: dict[str, tuple[Amount, int]] = field(default_factory=dict[str, tuple[Amount, int]])
    used_ms: int = 0

    def forget_expired(self, now_ms: int) -> None:
        """Forget reservations whose turns are over."""
        self.open = {name: one for name, one in self.open.items() if one[1] > now_ms}

    def taken(self) -> tuple[int, int, int]:
        """Return what is spent and reserved."""
        sums = list(numbers(self.spent))
        for amount, _ in self.open.values():
            for i, number in enumerate(numbers(amount)):
                sums[i] += number
        return sums[0], sums[1], sums[2]


class MemoryLedger:
    """The same rules as Redis'. Of what is left when a place is loaded, `share` is this process's to give."""

    def __init__(
        self,
        buckets: Buckets,
        *,
        share: Callable[[], float] = _whole,
        now_ms: Callable[[], int] = _now_ms,
    ) -> None:
        self._buckets = buckets
        self._share = share
        self._now_ms = now_ms
        self._has_begun = False
        # The longest unused first.
        self._counts: OrderedDict[Place, _Count] = OrderedDict()
        # What of each turn is open; None for one that is settled.
        self._turns: OrderedDict[str, Amount | None] = OrderedDict()
        self.reserved = 0

    def __len__(self) -> int:
        return len(self._counts)

    def __contains__(self, place: Place) -> bool:
        return place in self._counts

    async def reserve(self, takes: Sequence[Take], claim: Claim) -> Reserved:
        """Take from all buckets and reserve in all quotas, or neither."""
        if claim.turn_id in self._turns:
            return Reserved(Outcome.REPEAT)
        if not self._has_begun:
            return Reserved(Outcome.LOST)
        if cold := tuple(quota.place for quota in claim.quotas if self._is_cold(quota.place)):
            return Reserved(Outcome.COLD, places=cold)
        if over := tuple(quota.place for quota in claim.quotas if self._exceeds(quota, claim.amount)):
            return Reserved(Outcome.EXCEEDED, places=over)
        verdict = await self._buckets.take(takes)
        if verdict.refused_by is not None:
            return Reserved(Outcome.LIMITED, verdict)
        self._open(claim.turn_id, claim.amount, [quota.place for quota in claim.quotas], claim.lasts_ms)
        self.reserved += 1
        return Reserved(Outcome.RESERVED, verdict)

    def _is_cold(self, place: Place) -> bool:
        count = self._counts.get(place)
        if count is None or count.loaded is None:
            return True
        now_ms = self._now_ms()
        return any(expires_ms <= now_ms for _, expires_ms in count.open.values())

    def _exceeds(self, quota: Quota, amount: Amount) -> bool:
        count = self._counts[quota.place]
        share = self._share()
        for most, taken, before, wanted in zip(
            quota.most.limits, count.taken(), count.loaded or (0, 0, 0), numbers(amount), strict=True
        ):
            if most is None:
                continue
            room = most if share >= 1 else before + int(max(0, most - before) * share)
            if taken + wanted > room:
                return True
        return False

    def _open(self, turn_id: str, amount: Amount, places: Sequence[Place], lasts_ms: int) -> None:
        self._remember(turn_id, amount)
        for place in places:
            self._count(place).open[turn_id] = amount, self._now_ms() + lasts_ms

    def _count(self, place: Place) -> _Count:
        """Return the count of a place, as the one used last; those that nobody uses make room."""
        now_ms = self._now_ms()
        count = self._counts.setdefault(place, _Count())
        count.used_ms = now_ms
        self._counts.move_to_end(place)
        while (oldest := next(iter(self._counts.items())))[1].used_ms <= now_ms - UNUSED_MS:
            oldest[1].forget_expired(now_ms)
            if oldest[1].open:
                oldest[1].used_ms = now_ms
                self._counts.move_to_end(oldest[0])
            else:
                del self._counts[oldest[0]]
        return count

    def _remember(self, turn_id: str, amount: Amount | None) -> None:
        self._turns[turn_id] = amount
        self._turns.move_to_end(turn_id)
        if len(self._turns) > MOST_TURNS:
            self._turns.popitem(last=False)

    async def adopt(self, turns: Sequence[OpenTurn]) -> None:
        """Know of these turns, beside those that it knows; their places are to be loaded anew."""
        for turn in turns:
            if turn.turn_id in self._turns:
                continue
            self._open(turn.turn_id, turn.amount, turn.places, turn.lasts_ms)
            for place in turn.places:
                self._counts[place].loaded = None

    async def prove(self) -> None:
        """Answer: it is never away."""

    async def begin(self, turns: Sequence[OpenTurn]) -> None:
        """Know of these turns, beside those that it knows; everything that was spent is to be loaded anew."""
        await self.adopt(turns)
        for count in self._counts.values():
            count.loaded = None
        self._has_begun = True

    async def load(self, totals: Sequence[ScopeTotal]) -> None:
        """Know what was spent, unless something later is known."""
        for total in totals:
            count = self._count((total.scope, total.period))
            count.forget_expired(self._now_ms())
            self._know(count, total)
            count.loaded = count.taken()

    def _know(self, count: _Count, total: ScopeTotal) -> None:
        if total.version > count.version:
            count.spent, count.version = total.spent, total.version

    async def settle(self, turn_id: str, totals: Sequence[ScopeTotal]) -> None:
        """End a turn's reservation; the totals are those behind it."""
        self._remember(turn_id, None)
        for total in totals:
            count = self._count((total.scope, total.period))
            count.open.pop(turn_id, None)
            self._know(count, total)

    async def release(self, claim: Claim) -> None:
        """End the reservation of a turn that never ran."""
        if self._turns.get(claim.turn_id) is None:
            return
        del self._turns[claim.turn_id]
        for quota in claim.quotas:
            if (count := self._counts.get(quota.place)) is not None:
                count.open.pop(claim.turn_id, None)
