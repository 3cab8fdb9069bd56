"""Sees that every message of the audit's stream was copied or still stands there: what is gone is told.

Nobody deletes from the stream, but it is bounded, and gateways may change it. Its numbers have no holes, so a
number that was delivered to nobody here and that the stream has not is an event that is lost. A stream that
was made at another time is another, and nobody knows what the one before held that was not copied.
"""

import asyncio
import logging
from functools import partial
from typing import NamedTuple, Protocol

from parley_contracts import stream_names
from parley_contracts.audit import Action, AuditEvent
from parley_messaging import queues
from parley_messaging.audit_record import of_itself
from parley_messaging.bus import JobOutcome, QueuedJob, QueueState, StoredMessage
from parley_storage import Database
from sqlalchemy import Connection, select, update

from parley_accounts.audit_log import AuditLog, Told
from parley_accounts.audit_rows import HEAD
from parley_accounts.tables import audit_head

log = logging.getLogger("parley.accounts")

EVERYTHING = ">"
MOST_WALKED = 5000
"""Numbers between two notes: each that this process has not copied itself is asked for."""
MOST_SEEN = 100_000


class StreamBus(Protocol):
    """The part of the bus that says what stands in the stream."""

    async def queue_state(self, queue: queues.WorkQueue) -> QueueState:
        """Return up to where the stream was delivered."""
        ...

    async def stream_created_ms(self, stream: str) -> int:
        """Return when a stream was made."""
        ...

    async def next_stored(self, stream: str, subject: str, from_stream_seq: int) -> StoredMessage | None:
        """Return the first stored message from a number on."""
        ...


class _Looked(NamedTuple):
    """Up to which number a stream was looked at, and which one: when it was made."""

    seq: int
    created_ms: int


class AuditGaps:
    """Copies by the log, and looks every `every_s` at the numbers that were passed; several processes may.

    Attributes:
        missing: How many messages this process has found gone.
    """

    def __init__(self, database: Database, bus: StreamBus, log: AuditLog, *, every_s: float = 60.0) -> None:
        self._database = database
        self._bus = bus
        self._log = log
        self._every_s = every_s
        self._seen = set[int]()
        self._seen_of_ms = 0
        self.missing = 0

    async def take(self, job: QueuedJob) -> JobOutcome:
        """Copy what the stream delivers."""
        outcome = await self._log.take(job)
        if len(self._seen) < MOST_SEEN:
            self._seen.add(job.stream_seq)
        return outcome

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.check()
            except Exception:
                log.warning("the audit's stream could not be looked at", exc_info=True)
            await asyncio.sleep(self._every_s)

    async def check(self) -> None:
        """Look at the numbers that were delivered since the last check, and tell how many are gone."""
        while await self._look():
            pass

    async def _look(self) -> bool:
        """Look at so many numbers at most; return whether there are more."""
        before = await self._database.read(_looked)
        created_ms = await self._bus.stream_created_ms(stream_names.AUDIT)
        delivered = (await self._bus.queue_state(queues.AUDIT)).last_delivered
        if self._seen_of_ms not in (0, created_ms):
            self._seen.clear()
        self._seen_of_ms = created_ms
        if before.seq < 0:
            # An audit from before this was looked at begins where the stream does now.
            first = await self._next(1)
            await self._note(before, _Looked(first.stream_seq - 1 if first else delivered, created_ms))
        elif before.created_ms not in (0, created_ms):
            # Its numbers begin again, and nobody knows what the one before held.
            await self._note(before, _Looked(0, created_ms), is_another=True)
            return True
        elif delivered >= before.seq:
            until_seq = min(delivered, before.seq + MOST_WALKED)
            missing = await self._count_missing(before.seq + 1, until_seq)
            await self._note(before, _Looked(until_seq, created_ms), missing=missing)
            self._seen = {seq for seq in self._seen if seq > until_seq}
            return until_seq < delivered
        elif await self._next(before.seq) is None:
            # It was not only delivered anew: it is from a backup, or from before its age was noted.
            await self._note(before, _Looked(0, created_ms), is_another=True)
        return False

    async def _next(self, seq: int) -> StoredMessage | None:
        return await self._bus.next_stored(stream_names.AUDIT, EVERYTHING, seq)

    async def _count_missing(self, seq: int, until_seq: int) -> int:
        missing = 0
        while seq <= until_seq:
            if seq not in self._seen:
                found = await self._next(seq)
                stands_seq = min(found.stream_seq, until_seq + 1) if found else until_seq + 1
                missing += sum(number not in self._seen for number in range(seq, stands_seq))
                seq = stands_seq
            seq += 1
        return missing

    async def _note(
        self, before: _Looked, now: _Looked, *, missing: int = 0, is_another: bool = False
    ) -> None:
        if before == now:
            return
        is_lost = bool(missing) or is_another
        lost = of_itself(Action.EVENTS_LOST, missing or None) if is_lost else None
        is_first = await self._database.write(partial(self._move, before=before, now=now, lost=lost))
        if is_first and is_lost:
            self.missing += missing or 1
            log.error(
                "the audit's stream lacks messages that were not copied",
                extra={"after_seq": before.seq, "missing": missing, "is_another_stream": is_another},
            )

    def _move(
        self, connection: Connection, *, before: _Looked, now: _Looked, lost: AuditEvent | None
    ) -> bool:
        """Write how far the stream was looked at, and what is lost, unless another process has."""
        if _looked(connection, locks=True) != before:
            return False
        if lost is not None:
            self._log.add(connection, [Told("accounts", lost)])
        values = {"copied_seq": now.seq, "stream_created_ms": now.created_ms}
        connection.execute(update(audit_head).where(audit_head.c.name == HEAD).values(**values))
        return True


def _looked(connection: Connection, *, locks: bool = False) -> _Looked:
    query = select(audit_head.c.copied_seq, audit_head.c.stream_created_ms).filter_by(name=HEAD)
    return _Looked(*connection.execute(query.with_for_update() if locks else query).one())
