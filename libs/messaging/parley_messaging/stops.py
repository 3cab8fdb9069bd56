"""Stops of turns that this process works on: heard live, each ends the work at once."""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Generator
from contextlib import contextmanager

from parley_contracts import subjects

from parley_messaging.bus import Bus, Delivery
from parley_messaging.pen import READ_S, Pen

log = logging.getLogger("parley.messaging")

READS_AT_ONCE = 32
SECOND_LOOK_S = 1.0
"""A replica or another server of the bus may learn of a stop, or of us, a moment after the first look."""


class Stops:
    """Hears every stop; one for a followed turn is remembered and expires the clock of its work.

    Its tables hold the followed turns alone, and those are as many as the process has slots for jobs.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._pen = Pen(bus)
        self._followed: Counter[str] = Counter()
        self._stopped: set[str] = set()
        self._clocks: defaultdict[str, set[asyncio.Timeout]] = defaultdict(set)
        self._may_have_missed = asyncio.Event()

    async def start(self) -> None:
        """Begin to hear stops."""
        self._bus.on_reconnect(self._may_have_missed.set)
        await self._bus.subscribe(subjects.ALL_CANCELS, self._on_stop, on_drop=self._may_have_missed.set)

    async def run(self) -> None:
        """Look for stored stops whenever one may have gone unheard, until cancelled."""
        while True:
            await self._may_have_missed.wait()
            self._may_have_missed.clear()
            await self._look()
            await asyncio.sleep(SECOND_LOOK_S)
            if not await self._look():
                self._may_have_missed.set()

    async def _look(self) -> bool:
        """Look for the stops of all followed turns; False when that was not possible for each."""
        slots, unread = asyncio.Semaphore(READS_AT_ONCE), list[str]()

        async def look(turn_id: str) -> None:
            async with slots:
                try:
                    if turn_id in self._followed:
                        await self.is_stored(turn_id)
                except Exception:
                    # One that cannot be read keeps nobody from reading the others.
                    log.exception("a stored stop cannot be read")
                    unread.append(turn_id)

        async with asyncio.TaskGroup() as tasks:
            for turn_id in tuple(self._followed):
                if turn_id not in self._stopped:
                    tasks.create_task(look(turn_id))
        return not unread

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

    async def is_stored(self, turn_id: str, *, within_s: float = READ_S) -> bool:
        """Read whether a stop of a followed turn is stored; one that is counts as heard from then on.

        Whoever reads after the claim of a pen slot has missed none: what was stored before is read, what
        comes later is heard. The work may begin meanwhile, for a stop that is found ends it like any other.

        Raises:
            ParleyError: `unavailable` when the bus could not be read `within_s`.
        """
        is_stored = await self._pen.is_cancelled(turn_id, within_s=within_s)
        if is_stored:
            self._note(turn_id)
        return is_stored

    async def _on_stop(self, delivery: Delivery) -> None:
        self._note(subjects.parse_turn_cancel(delivery.subject))

    def _note(self, turn_id: str) -> None:
        if turn_id in self._followed:
            self._stopped.add(turn_id)
        for clock in self._clocks.get(turn_id, ()):
            # A clock that has expired cannot be set again, and need not be.
            if not clock.expired():
                clock.reschedule(asyncio.get_running_loop().time())
