"""Appends events to the chain: one writer at a time, each event once, many in one transaction."""

import asyncio
import json
import logging
from dataclasses import dataclass

from parley_contracts import subjects
from parley_contracts.audit import Action, AuditDetails, AuditEvent, AuditRow
from parley_identity.audit_chain import FIRST_PREV_HASH, row_hash
from parley_messaging.audit_record import of_itself
from parley_messaging.bus import JobOutcome, QueuedJob
from parley_storage import Database
from pydantic import ValidationError
from sqlalchemy import Connection, insert, select, update

from parley_accounts.audit_rows import HEAD
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.tables import audit_head, audit_log

log = logging.getLogger("parley.accounts")

SLOTS = 64
"""Events that are waited for at once: those that come while a transaction commits go into the next one."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event, and the service that told it."""

    writer: str
    event: AuditEvent


def canonical(details: AuditDetails) -> str:
    """Return details as they are kept and hashed."""
    told = details.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(told, sort_keys=True, ensure_ascii=True, separators=(",", ":"))


class AuditLog:
    """The only place that adds rows. The head's row is the lock; the chain is one line whoever writes."""

    def __init__(self, database: Database, *, clock: Clock = unix_ms) -> None:
        self._database = database
        self._clock = clock
        self._waiting: list[tuple[Told, asyncio.Future[None]]] = []
        self._writing = asyncio.Lock()

    async def prepare(self) -> None:
        """Make the head of an empty chain unless there is one."""

        def prepare(connection: Connection) -> None:
            first = self._database.insert(audit_head).values(
                name=HEAD, seq=0, hash=FIRST_PREV_HASH, recorded_at_ms=0, removable_seq=0, copied_seq=0
            )
            connection.execute(first.on_conflict_do_nothing())

        await self._database.write(prepare)

    async def take(self, job: QueuedJob) -> JobOutcome:
        """Append what the stream delivers. What cannot be read is a row as well, which says only that."""
        writer = subjects.parse_audit_events(job.subject)
        try:
            event = AuditEvent.model_validate_json(job.data)
        except ValidationError:
            log.warning("an audit event cannot be read", extra={"subject": job.subject})
            event = of_itself(Action.EVENTS_LOST, 1)
        await self.append(Told(writer, event))
        return JobOutcome.DONE

    async def append(self, told: Told) -> None:
        """Append an event; return when it stands there. One that does already changes nothing."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((told, written))
        async with self._writing:
            if not written.done():
                await self._write_waiting()
        await written

    async def _write_waiting(self) -> None:
        batch, self._waiting = self._waiting, []
        try:
            await self._database.write(lambda connection: self.add(connection, [one for one, _ in batch]))
        except BaseException as error:
            for _, written in batch:
                if not written.done():
                    written.set_exception(error)
                    written.exception()  # its own waiter may have left
            raise
        for _, written in batch:
            if not written.done():
                written.set_result(None)

    def add(self, connection: Connection, batch: list[Told]) -> None:
        """Append events in a transaction that has more to do."""
        head = connection.execute(select(audit_head).filter_by(name=HEAD).with_for_update()).one()
        ids = [told.event.id for told in batch]
        query = select(audit_log.c.event_id).where(audit_log.c.event_id.in_(ids))
        known = set(connection.execute(query).scalars())
        seq, last_hash = head.seq, head.hash
        recorded_at_ms = max(head.recorded_at_ms, self._clock())
        rows: list[AuditRow] = []
        for told in batch:
            if told.event.id in known:
                continue
            known.add(told.event.id)
            seq += 1
            rows.append(_row(told, seq, last_hash, recorded_at_ms))
            last_hash = rows[-1].hash
        if not rows:
            return
        connection.execute(insert(audit_log), [row.model_dump() for row in rows])
        moved = update(audit_head).where(audit_head.c.name == HEAD)
        connection.execute(moved.values(seq=seq, hash=last_hash, recorded_at_ms=recorded_at_ms))


def _row(told: Told, seq: int, prev_hash: str, recorded_at_ms: int) -> AuditRow:
    event = told.event
    fields: dict[str, str | int] = {
        "seq": seq,
        "event_id": event.id,
        "at_ms": event.at_ms,
        "recorded_at_ms": recorded_at_ms,
        "writer": told.writer,
        "action": event.action,
        "outcome": event.outcome.value,
        "actor_kind": event.actor_kind.value,
        "actor_id": event.actor_id,
        "object_kind": event.object_kind,
        "object_id": event.object_id,
        "address": event.provenance.address,
        "agent": event.provenance.agent,
        "credential": event.provenance.credential,
        "request_id": event.provenance.request_id,
        "details": canonical(event.details),
    }
    found = {**fields, "prev_hash": prev_hash, "hash": row_hash(prev_hash, fields)}
    return AuditRow.model_validate(found)
