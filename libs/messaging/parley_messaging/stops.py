"""Stops of turns that this process works on: heard live, each ends the work at once."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Generator
from contextlib import contextmanager

from parley_contracts import subjects

from parley_messaging.bus import Bus, Delivery


class Stops:
    """Hears every stop; one for a followed turn is remembered and expires the clock of its work."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._followed: Counter[str] = Counter()
        self._stopped: set[str] = set()
        self._clocks: defaultdict[str, set[asyncio.Timeout]] = defaultdict(set)

    async def start(self) -> None:
        """Begin to hear stops."""
        await self._bus.subscribe(subjects.ALL_CANCELS, self._on_stop)

    @contextmanager
    def following(self, turn_id: str) -> Generator[None]:
        """Remember a stop of `turn_id` that comes while the body runs."""
        self._followed[turn_id] += 1
        try:
            yield
        finally:
            self._followed[turn_id] -= 1
            if not self._followed[turn_id]:
                del self._followed[turn_id]
                self._stopped.discard(turn_id)

    @contextmanager
    def expiring(self, turn_id: str, clock: asyncio.Timeout) -> Generator[None]:
        """Let a stop of the followed turn expire `clock`, also one that has come already."""
        self._clocks[turn_id].add(clock)
        if self.is_stopped(turn_id):
            clock.reschedule(asyncio.get_running_loop().time())
        try:
            yield
        finally:
            self._clocks[turn_id].discard(clock)
            if not self._clocks[turn_id]:
                del self._clocks[turn_id]

    def is_stopped(self, turn_id: str) -> bool:
        """Return whether a stop of a followed turn has come."""
        return turn_id in self._stopped

    async def _on_stop(self, delivery: Delivery) -> None:
        turn_id = subjects.parse_turn_cancel(delivery.subject)
        if turn_id in self._followed:
            self._stopped.add(turn_id)
        for clock in self._clocks.get(turn_id, ()):
            # A clock that has expired cannot be set again, and need not be.
            if not clock.expired():
                clock.reschedule(asyncio.get_running_loop().time())
