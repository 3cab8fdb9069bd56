"""Sees to it that a stop ends its turn although nobody who works on it answers."""

import asyncio
import logging

from parley_contracts.turn_events import TERMINAL_TYPES, frame_type
from parley_contracts.turns import Seal, TurnOutcome, TurnRef
from parley_messaging import Bus
from parley_messaging.pen import Pen
from parley_messaging.turn_log import read_turn_log
from parley_messaging.turn_watch import TurnWatches

from parley_gateway.turn_ending import TurnEnding, new_seal
from parley_gateway.turn_finder import TurnFinder

log = logging.getLogger("parley.gateway")

ANSWER_S = 2.0
"""How long the holders of a turn have to end it after a stop, before the edge seals it itself."""


class TurnStopper:
    """Waits for the terminal event of stopped turns and seals those that get none in time."""

    def __init__(
        self, bus: Bus, pen: Pen, finder: TurnFinder, watches: TurnWatches, ending: TurnEnding
    ) -> None:
        self._bus = bus
        self._pen = pen
        self._finder = finder
        self._watches = watches
        self._ending = ending
        self._wanted: asyncio.Queue[TurnRef] = asyncio.Queue()
        self._seen_to: set[str] = set()

    def see_to(self, ref: TurnRef) -> None:
        """Make sure that the turn, whose stop is stored, ends."""
        if ref.turn_id not in self._seen_to:
            self._seen_to.add(ref.turn_id)
            self._wanted.put_nowait(ref)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._see_to(await self._wanted.get()))

    async def _see_to(self, ref: TurnRef) -> None:
        try:
            if not await self._ends(ref):
                await self._seal(ref)
        except Exception:
            # The stop is stored: whoever takes the turn next ends it.
            log.exception("stopped turn was not seen to")
        finally:
            self._seen_to.discard(ref.turn_id)

    async def _ends(self, ref: TurnRef) -> bool:
        ended = asyncio.Event()

        def hear(frame: bytes, _: int) -> None:
            if frame_type(frame) in TERMINAL_TYPES:
                ended.set()

        watch = await self._watches.open(ref.home, ref.turn_id, 0, hear)
        try:
            async with asyncio.timeout(ANSWER_S):
                await ended.wait()
        except TimeoutError:
            return False
        finally:
            await self._watches.close(watch)
        return True

    async def _seal(self, ref: TurnRef) -> None:
        records = await self._pen.read_all(ref.turn_id)
        if records and isinstance(records[-1], Seal):
            await self._ending.finish(len(records), records[-1])
            return
        found = await self._finder.find(ref.turn_id)
        if found is None or found.command is None:
            return
        log.info("nobody answered a stop; the edge ends the turn")
        standing = await read_turn_log(self._bus, ref.home, ref.turn_id)
        seal = new_seal(
            found.command,
            TurnOutcome.CANCELLED,
            text=standing.text,
            citations=standing.context.citations if standing.context else (),
            last_seq=standing.last_seq,
        )
        await self._ending.seal(len(records) + 1, seal)
