"""Stops of turns that this process works on: heard live, each ends the work at once."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from parley_contracts import subjects

from parley_messaging.bus import Bus, Delivery


class Stops:
    """Hears every stop; one for a followed turn is remembered and expires the clock of its work."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._stopped: dict[str, bool] = {}
        self._clocks: dict[str, asyncio.Timeout] = {}

    async def start(self) -> None:
        """Begin to hear stops."""
        await self._bus.subscribe(subjects.ALL_CANCELS, self._on_stop)

    @contextmanager
    def following(self, turn_id: str) -> Generator[None]:
        """Remember a stop of `turn_id` that comes while the body runs."""
        self._stopped[turn_id] = False
        try:
            yield
        finally:
            del self._stopped[turn_id]

    @contextmanager
    def expiring(self, turn_id: str, clock: asyncio.Timeout) -> Generator[None]:
        """Let a stop of the followed turn expire `clock`, also one that has come already."""
        self._clocks[turn_id] = clock
        if self.is_stopped(turn_id):
            clock.reschedule(asyncio.get_running_loop().time())
        try:
            yield
        finally:
            del self._clocks[turn_id]

    def is_stopped(self, turn_id: str) -> bool:
        """Return whether a stop of a followed turn has come."""
        return self._stopped.get(turn_id, False)

    async def _on_stop(self, delivery: Delivery) -> None:
        turn_id = subjects.parse_turn_cancel(delivery.subject)
        if turn_id in self._stopped:
            self._stopped[turn_id] = True
        if clock := self._clocks.get(turn_id):
            clock.reschedule(asyncio.get_running_loop().time())
