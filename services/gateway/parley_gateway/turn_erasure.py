"""Erases the turns of somebody from the streams; one that still runs is stopped first, and ends as any other.

Whose a turn is stands in its first pen slot and in its command. The first slot goes last, so that a turn is
found again whose erasure was cut short.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from parley_contracts import stream_names, subjects
from parley_contracts.data_rights import ErasedPart, EraseUser, PlaceCount, is_of
from parley_contracts.llm import GenerateJob
from parley_contracts.model import WireModel
from parley_contracts.turns import PEN_RECORD, PenClaim, Seal, StartTurn, TurnRef
from parley_messaging import Bus
from parley_messaging.bus import StoredMessage
from parley_messaging.erasing import erase_subject
from parley_messaging.pen import Pen
from pydantic import ValidationError

from parley_gateway.stored_stops import store_stop
from parley_gateway.turn_stopper import TurnStopper

log = logging.getLogger("parley.gateway")

_FIRST_SLOTS = subjects.ALL_PEN_SLOTS.removesuffix("*") + "1"
_READ_AT_ONCE = 20
"""How many slots of others are read for each turn that a part may take."""

_ALL_AT_ONCE = 1000

QUEUES = (stream_names.TURNS, stream_names.LLM_JOBS)
"""In whose files questions stand."""

_FILES_CURSOR = re.compile(r"files (\d{1,18}) (\d{1,18})")
"""Of a part that only waits: up to where the jobs are that were there when the last turn had ended."""

Whose = Callable[[str], bool]
Message = TypeVar("Message", bound=WireModel)


@dataclass(slots=True)
class _Part:
    """What became of the turns of one part."""

    counts: Counter[str]
    running: int = 0
    next_seq: int | None = None


class TurnErasure:
    """Goes through the turns of the last day, as long as streams keep them."""

    def __init__(self, bus: Bus, pen: Pen, stopper: TurnStopper) -> None:
        self._bus = bus
        self._pen = pen
        self._stopper = stopper

    async def erase(self, request: EraseUser) -> ErasedPart:
        """Erase the next turns of a user and of visitors of his bots; it is done when no file holds one."""
        if bounds := _FILES_CURSOR.fullmatch(request.cursor or ""):
            return await self._leave_files(tuple(map(int, bounds.groups())))

        def is_his(owner_id: str) -> bool:
            return is_of(owner_id, request.owner_id, request.bot_ids)

        begun_at = int(request.cursor) if request.cursor and request.cursor.isdecimal() else 1
        part = await self._erase_claimed(is_his, begun_at, request.limit)
        if part.next_seq is None:
            part.running += await self._stop_waiting(is_his)
        removed = tuple(PlaceCount(place=name, count=count) for name, count in part.counts.items())
        if part.next_seq is None and not part.running:
            return (await self._leave_files()).model_copy(update={"removed": removed})
        return ErasedPart(
            removed=removed,
            next_cursor=None if part.next_seq is None else str(part.next_seq),
            is_done=False,
            waits_for="turns that are being stopped" if part.running else None,
        )

    async def _leave_files(self, until: tuple[int, ...] | None = None) -> ErasedPart:
        """Have acknowledged jobs leave the files of the queues; done when those up to `until` have.

        By default that is all that is there now. Older jobs of others keep younger ones in their file.
        """
        found = [await self._bus.eraser.compact(stream) for stream in QUEUES]
        until = until or tuple(bounds.last_seq for bounds in found)
        is_done = all(bounds.first_seq > seq for bounds, seq in zip(found, until, strict=True))
        return ErasedPart(
            next_cursor=None if is_done else "files " + " ".join(map(str, until)),
            is_done=is_done,
            waits_for=None if is_done else "older jobs in the same files of the bus",
        )

    async def erase_all(self, is_his: Whose) -> bool:
        """Erase the turns of all who are meant, in one go; False when one of them still runs."""
        running, seq = 0, 1
        while True:
            part = await self._erase_claimed(is_his, seq, _ALL_AT_ONCE)
            running += part.running
            if part.next_seq is None:
                break
            seq = part.next_seq
        running += await self._stop_waiting(is_his)
        await self._leave_files()
        return not running

    async def _erase_claimed(self, is_his: Whose, begun_at: int, limit: int) -> _Part:
        part, seq = _Part(Counter()), begun_at
        # Read once for all: who has acknowledged a turn's command publishes no job of it any more.
        queued: frozenset[str] | None = None
        for _ in range(limit * _READ_AT_ONCE):
            message = await self._bus.next_stored(stream_names.TURN_PEN, _FIRST_SLOTS, seq)
            if message is None:
                return part
            seq = message.stream_seq + 1
            ref = _turn_in(message)
            if ref is None or not is_his(ref.owner_id):
                continue
            has_ended = await self._has_ended(ref)
            if has_ended and queued is None:
                queued = await self._queued()
            if has_ended and ref.turn_id not in (queued or ()):
                part.counts += await self._erase_turn(ref)
            else:
                part.running += 1
                await self._stop(ref)
            if sum(part.counts.values()) >= limit:
                break
        # A turn that runs is come back to: the next part looks from the beginning, when this round is over.
        part.next_seq = seq
        return part

    async def _has_ended(self, ref: TurnRef) -> bool:
        """Return whether a turn is sealed, and its command acknowledged: nobody writes it any more."""
        waiting = subjects.turn_start(ref.turn_id)
        if await self._bus.last_stored(stream_names.TURNS, waiting) is not None:
            return False
        records = await self._pen.read_all(ref.turn_id)
        return isinstance(records[-1], Seal) if records else True

    async def _queued(self) -> frozenset[str]:
        """Return the turns whose generate jobs a worker has or may still take."""
        found = set[str]()
        message = await self._next(stream_names.LLM_JOBS, subjects.ALL_GENERATE, 1)
        while message is not None:
            job = _read(GenerateJob, message)
            found.update([] if job is None else [job.turn.turn_id])
            message = await self._next(stream_names.LLM_JOBS, subjects.ALL_GENERATE, message.stream_seq + 1)
        return frozenset(found)

    async def _erase_turn(self, ref: TurnRef) -> Counter[str]:
        counts = Counter[str]()
        events = subjects.turn_events(ref.home, ref.turn_id)
        counts[stream_names.TURN_EVENTS] = await erase_subject(self._bus, stream_names.TURN_EVENTS, events)
        slots = len(await self._pen.read_all(ref.turn_id))
        stop = subjects.turn_cancel(ref.turn_id)
        for subject in (stop, *(subjects.pen_slot(ref.turn_id, slots - at) for at in range(slots))):
            counts[stream_names.TURN_PEN] += await erase_subject(self._bus, stream_names.TURN_PEN, subject)
        return +counts

    async def _stop_waiting(self, is_his: Whose) -> int:
        """Stop turns that no runner has claimed yet; return how many there are."""
        found, message = 0, await self._next(stream_names.TURNS, subjects.ALL_TURN_STARTS, 1)
        while message is not None:
            command = _read(StartTurn, message)
            if command is not None and is_his(command.turn.owner_id):
                found += 1
                await self._stop(command.turn)
            message = await self._next(stream_names.TURNS, subjects.ALL_TURN_STARTS, message.stream_seq + 1)
        return found

    async def _next(self, stream: str, subject: str, seq: int) -> StoredMessage | None:
        return await self._bus.next_stored(stream, subject, seq)

    async def _stop(self, ref: TurnRef) -> None:
        if not await self._pen.is_cancelled(ref.turn_id):
            await store_stop(self._bus, ref)
        self._stopper.see_to(ref)


def _turn_in(message: StoredMessage) -> TurnRef | None:
    """Return the turn that a first slot is of; None when it does not say."""
    try:
        record = PEN_RECORD.validate_json(message.data)
    except ValidationError:
        return None
    if isinstance(record, PenClaim):
        # Whoever claimed it first chose where its events stand.
        command = record.command
        return None if command is None else command.turn.model_copy(update={"home": record.home})
    return record.turn


def _read(kind: type[Message], message: StoredMessage) -> Message | None:
    try:
        return kind.model_validate_json(message.data)
    except ValidationError:
        return None
