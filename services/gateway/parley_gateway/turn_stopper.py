"""Sees to it that a stop ends its turn although nobody who works on it answers."""

import asyncio
import logging

from parley_contracts import subjects
from parley_contracts.errors import ParleyError
from parley_contracts.turn_events import TERMINAL_TYPES, frame_type
from parley_contracts.turns import CancelTurn, Seal, TurnOutcome, TurnRef
from parley_messaging import Bus, NotStoredError
from parley_messaging.message_headers import now_ms
from parley_messaging.pen import Pen
from parley_messaging.turn_log import read_turn_log
from parley_messaging.turn_watch import TurnWatches

from parley_gateway.pen_records import was_taken
from parley_gateway.turn_ending import TurnEnding, new_seal
from parley_gateway.turn_finder import TurnFinder

log = logging.getLogger("parley.gateway")

ANSWER_S = 2.0
"""How long the holders of a turn have to end it after a stop, before the edge seals it itself."""

MAX_SEEN_TO = 1024
TRY_S = 30.0
PAUSE_S = 0.5


class TurnStopper:
    """Waits for the terminal event of stopped turns and seals those that get none in time.

    Full rule: a stop beyond `MAX_SEEN_TO` is left to who works on its turn, for the stop is stored.
    """

    def __init__(
        self, bus: Bus, pen: Pen, finder: TurnFinder, watches: TurnWatches, ending: TurnEnding
    ) -> None:
        self._bus = bus
        self._pen = pen
        self._finder = finder
        self._watches = watches
        self._ending = ending
        self._wanted: asyncio.Queue[TurnRef] = asyncio.Queue(MAX_SEEN_TO)
        self._seen_to: set[str] = set()
        self.sealed = 0

    @property
    def seen_to(self) -> int:
        """How many stopped turns are waited for."""
        return len(self._seen_to)

    def see_to(self, ref: TurnRef) -> None:
        """Make sure that the turn, whose stop is stored, ends."""
        if ref.turn_id in self._seen_to:
            return
        if len(self._seen_to) >= MAX_SEEN_TO:
            log.warning("too many stops at once; this one is not seen to")
            return
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
                await self._end(ref)
        except Exception:
            # The stop is stored: whoever takes the turn next ends it.
            log.exception("stopped turn was not seen to")
        finally:
            self._seen_to.discard(ref.turn_id)

    async def _end(self, ref: TurnRef) -> None:
        """Seal the turn; while the bus is away it is tried again."""
        deadline_s = asyncio.get_running_loop().time() + TRY_S
        while True:
            try:
                await self._stop_again(ref)
                await self._seal(ref)
                return
            except (ParleyError, NotStoredError) as error:
                if asyncio.get_running_loop().time() > deadline_s:
                    raise
                log.info("stopped turn cannot be ended yet", extra={"error": repr(error)})
            await asyncio.sleep(PAUSE_S)

    async def _stop_again(self, ref: TurnRef) -> None:
        """Tell of the stop once more: whoever missed it would let the model write for nobody."""
        stop = CancelTurn(turn=ref, cancelled_at_ms=now_ms())
        await self._bus.store(subjects.turn_cancel(ref.turn_id), stop.model_dump_json().encode())

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
        self.sealed += 1
        log.info("nobody answered a stop; the edge ends the turn")
        standing = await read_turn_log(self._bus, ref.home, ref.turn_id)
        seal = new_seal(
            found.command,
            TurnOutcome.CANCELLED,
            text=standing.text,
            citations=standing.context.citations if standing.context else (),
            last_seq=standing.last_seq,
            finished=standing.finished,
            earlier=standing.earlier,
            was_asked=was_taken(records, standing.earlier),
        ).model_copy(update={"is_confirmed": False})
        await self._ending.seal(len(records) + 1, seal)
