"""What the bus has kept of turns: their logs, whole or not, and who held their pens."""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import asyncio
import re
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path

import nats
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, ConsumerInfo, DeliverPolicy
from nats.js.errors import NotFoundError
from parley_contracts import subjects
from parley_contracts.turn_events import (
    EpochStarted,
    GenerationFinished,
    TextDelta,
    TurnEvent,
    frame_seq,
    known_event,
)
from parley_contracts.turns import EPOCH_SPAN, PEN_RECORD, PenClaim, PenRole, Seal

from tests.integration.waiting import eventually

READ_S = 60.0
SETTLED_S = 120.0
"""A job is tried again after up to 30 s, and the store that it waits for may still be busy then."""

QUEUES = ("TURNS", "LLM_JOBS")
_STORED = re.compile(rb'"stored":"(?:yes|pending)"')


@dataclass
class TurnRecord:
    """A turn's log by seq, its pen slots in order, and when its generation stood finished (Unix time)."""

    frames: dict[int, bytes] = field(default_factory=dict[int, bytes])
    pen: list[PenClaim | Seal] = field(default_factory=list[PenClaim | Seal])
    finished_at_s: float | None = None
    clashes: list[str] = field(default_factory=list[str])

    def take(self, frame: bytes, at_s: float) -> None:
        """Take a stored frame; writers go back, so it may stand there again, but only as it was."""
        seq = frame_seq(frame)
        if _without_stored(self.frames.setdefault(seq, frame)) != _without_stored(frame):
            self.clashes.append(f"two frames of seq {seq}")
        if b'"type":"generation_finished"' in frame and self.finished_at_s is None:
            self.finished_at_s = at_s

    @property
    def seals(self) -> int:
        """How many endings the pen holds."""
        return sum(isinstance(record, Seal) for record in self.pen)

    @property
    def faults(self) -> list[str]:
        """What is wrong with the log: two events of one seq, and holes."""
        return [*self.clashes, *self._read_through[1]]

    @property
    def standing(self) -> list[TurnEvent]:
        """The events that a reader of the whole log must have been handed."""
        return self._read_through[0]

    @cached_property
    def _read_through(self) -> tuple[list[TurnEvent], list[str]]:
        found: list[TurnEvent] = []
        holes: list[str] = []
        for number in sorted({seq // EPOCH_SPAN for seq in self.frames}):
            opening = self.frames.get(number * EPOCH_SPAN)
            if opening is None:
                holes.append(f"epoch {number} has no opening")
                continue
            follows = getattr(known_event(opening), "follows", 0)
            last = found[-1].seq if found else 0
            if follows > last:
                holes.append(f"hole: epoch {number} follows {follows}, the log ends at {last}")
            # What a writer added behind the place from which the next one goes on may be seen or not.
            found = [event for event in found if event.seq <= follows]
            for seq in count(number * EPOCH_SPAN):
                if seq not in self.frames:
                    break
                if (event := known_event(self.frames[seq])) is not None:
                    found.append(event)
        return found, holes

    def text(self) -> str:
        """Return the answer that the log holds."""
        text = ""
        for event in self.standing:
            if isinstance(event, EpochStarted):
                text = text[: event.keep_chars]
            elif isinstance(event, TextDelta):
                text += event.text
        return text

    def broken_off(self, killed: Collection[str]) -> int:
        """Return how many generations died with their worker before they stood finished."""
        return sum(
            isinstance(claim, PenClaim)
            and claim.role is PenRole.WORKER
            and claim.holder in killed
            and not self._is_finished_in(epoch)
            for epoch, claim in enumerate(self.pen, start=1)
        )

    def asked_early(self, killed: Collection[str]) -> int:
        """Return how many calls may have been made beside a claim that died with its worker.

        Only the model of a fresh turn without a runner's claim is asked so early, at its first delivery.
        """
        first = self.pen[0] if self.pen else None
        if not isinstance(first, PenClaim) or first.role is not PenRole.WORKER:
            return 0
        if first.command is None or not first.command.is_fresh:
            return 0
        return int(first.holder not in killed and any(name.startswith("llm") for name in killed))

    def _is_finished_in(self, epoch: int) -> bool:
        return any(
            seq // EPOCH_SPAN == epoch and isinstance(known_event(frame), GenerationFinished)
            for seq, frame in self.frames.items()
        )

    def has_lost_runner(self, killed: Collection[str]) -> bool:
        """Return whether a process that was killed had claimed the turn to run it."""
        return self._has_claim(PenRole.RUNNER, killed)

    def has_lost_writer(self, killed: Collection[str]) -> bool:
        """Return whether a process that was killed had claimed the turn to write its answer."""
        return self._has_claim(PenRole.WORKER, killed)

    def _has_claim(self, role: PenRole, holders: Collection[str]) -> bool:
        return any(
            isinstance(claim, PenClaim) and claim.role is role and claim.holder in holders
            for claim in self.pen
        )


def _without_stored(frame: bytes) -> bytes:
    """Return a frame without what may differ in a repeat: a turn that was not stored may be so by now."""
    return _STORED.sub(b"", frame)


class TurnRecords:
    """Reads the streams of a stack."""

    def __init__(self, jetstream: JetStreamContext) -> None:
        self._jetstream = jetstream
        self._since = {"TURN_EVENTS": 0, "TURN_PEN": 0}

    async def mark(self) -> None:
        """Read from what is stored after now."""
        for stream in self._since:
            self._since[stream] = (await self._jetstream.stream_info(stream)).state.last_seq

    async def read(self) -> dict[str, TurnRecord]:
        """Return the record of every turn since the mark, by its id on the bus."""
        records: dict[str, TurnRecord] = {}
        for message in await self._messages("TURN_EVENTS"):
            turn_id = subjects.parse_turn_events(message.subject).turn_id
            records.setdefault(turn_id, TurnRecord()).take(
                message.data, message.metadata.timestamp.timestamp()
            )
        slots: dict[str, dict[int, PenClaim | Seal]] = {}
        for message in await self._messages("TURN_PEN"):
            slot = subjects.parse_pen_slot(message.subject)
            slots.setdefault(slot.turn_id, {})[slot.number] = PEN_RECORD.validate_json(message.data)
        for turn_id, pen in slots.items():
            records.setdefault(turn_id, TurnRecord()).pen = [pen[number] for number in sorted(pen)]
        return records

    async def _messages(self, stream: str) -> list[Msg]:
        """Return what a stream holds since the mark."""
        since = self._since[stream]
        left = (await self._jetstream.stream_info(stream)).state.last_seq - since
        found: list[Msg] = []
        if left <= 0:
            return found
        is_read = asyncio.Event()

        async def take(message: Msg) -> None:
            found.append(message)
            if message.metadata.num_pending == 0:
                is_read.set()

        subscription = await self._jetstream.subscribe(
            subjects.ALL_TURN_EVENTS if stream == "TURN_EVENTS" else subjects.ALL_PEN_SLOTS,
            stream=stream,
            ordered_consumer=True,
            cb=take,
            config=ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=since + 1),
        )
        try:
            async with asyncio.timeout(READ_S):
                await is_read.wait()
        finally:
            await subscription.unsubscribe()
        return found

    async def settled(self) -> None:
        """Return once no job waits and all are acknowledged."""
        await eventually(self._has_settled, within_s=SETTLED_S)

    async def _has_settled(self) -> bool:
        try:
            found: list[ConsumerInfo] = [
                info for queue in QUEUES for info in await self._jetstream.consumers_info(queue)
            ]
        except (TimeoutError, NotFoundError):
            return False
        return not any((info.num_pending or 0) + (info.num_ack_pending or 0) for info in found)


@asynccontextmanager
async def open_turn_records(nats_url: str, nkey: Path | None) -> AsyncGenerator[TurnRecords]:
    """Read the streams of a stack while the body runs; the connection outlives its server."""

    async def note(_: Exception) -> None:
        """The server is killed on purpose: what that breaks is not worth a traceback."""

    connection = await nats.connect(
        nats_url.split(","),
        reconnect_time_wait=0.1,
        max_reconnect_attempts=-1,
        error_cb=note,
        nkeys_seed=str(nkey) if nkey else None,
    )
    try:
        yield TurnRecords(connection.jetstream())
    finally:
        await connection.close()
