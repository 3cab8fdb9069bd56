"""Sees that every message of the audit's stream was copied or still stands there: what is gone is told.

Nobody deletes from the stream, but it is bounded, and gateways may change it. Its numbers have no holes, so a
number that was delivered to nobody here and that the stream has not is an event that is lost.
"""

import asyncio
import logging
from functools import partial
from typing import Protocol

from parley_contracts import stream_names
from parley_contracts.audit import Action
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
"""Numbers of one check: each that this process has not copied itself is asked for."""
MOST_SEEN = 100_000


class StreamBus(Protocol):
    """The part of the bus that says what stands in the stream."""

    async def queue_state(self, queue: queues.WorkQueue) -> QueueState:
        """Return up to where the stream was delivered."""
        ...

    async def next_stored(self, stream: str, subject: str, from_stream_seq: int) -> StoredMessage | None:
        """Return the first stored message from a number on."""
        ...


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
        walked = await self._database.read(_copied_seq)
        delivered = (await self._bus.queue_state(queues.AUDIT)).last_delivered
        if walked < 0:
            # An audit from before this was looked at begins where the stream does now.
            first = await self._next(1)
            await self._note(walked, first.stream_seq - 1 if first else delivered)
        elif delivered >= walked:
            until_seq = min(delivered, walked + MOST_WALKED)
            await self._note(walked, until_seq, missing=await self._count_missing(walked + 1, until_seq))
            self._seen = {seq for seq in self._seen if seq > until_seq}
        elif await self._next(walked) is None:
            # It was not only delivered anew: its numbers begin again, and nobody knows what it held.
            await self._note(walked, 0, is_another=True)

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

    async def _note(self, walked: int, until_seq: int, *, missing: int = 0, is_another: bool = False) -> None:
        if walked == until_seq:
            return
        work = partial(self._move, walked=walked, until_seq=until_seq, missing=missing, is_another=is_another)
        is_first = await self._database.write(work)
        if is_first and (missing or is_another):
            self.missing += missing or 1
            log.error(
                "the audit's stream lacks messages that were not copied",
                extra={"after_seq": walked, "missing": missing, "is_another_stream": is_another},
            )

    def _move(
        self, connection: Connection, *, walked: int, until_seq: int, missing: int, is_another: bool
    ) -> bool:
        """Write how far the stream was looked at, and what is missing, unless another process has."""
        head = connection.execute(select(audit_head).filter_by(name=HEAD).with_for_update()).one()
        if head.copied_seq != walked:
            return False
        if missing or is_another:
            self._log.add(connection, [Told("accounts", of_itself(Action.EVENTS_LOST, missing or None))])
        connection.execute(update(audit_head).where(audit_head.c.name == HEAD).values(copied_seq=until_seq))
        return True


def _copied_seq(connection: Connection) -> int:
    return connection.execute(select(audit_head.c.copied_seq).filter_by(name=HEAD)).scalar_one()
