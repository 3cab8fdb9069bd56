"""The audit of an accounts service: filled, read as it stands, and looked at as whoever verifies it does."""

import asyncio
import json
from typing import Any
from uuid import uuid4

from parley_accounts.audit_anchors import read_rows
from parley_accounts.audit_log import Told
from parley_accounts.audit_rows import HEAD
from parley_accounts.tables import audit_head
from parley_contracts import subjects
from parley_contracts.audit import (
    Action,
    ActorKind,
    AuditDetails,
    AuditEvent,
    AuditRow,
    ObjectKind,
    Outcome,
    Provenance,
)
from parley_contracts.audit_requests import (
    AuditExport,
    AuditSegment,
    AuditVerdict,
    CheckAudit,
    OpenAuditExport,
    ReadAuditSegment,
)
from parley_messaging import queues
from parley_messaging.work_loop import WorkLoop
from parley_storage import Database
from sqlalchemy import Connection, select, text

from tests.unit.accounts.accounts_rig import OWNER, Accounts

ADA = "a" * 32
FOREVER = 2**62
ROWS = 8
ANCHORED = 5
"""Of the rows of `filled`; the rest has come since."""

HEAD_TO = (
    "UPDATE accounts_audit_head SET seq = {0}, hash = (SELECT hash FROM accounts_audit_log WHERE seq = {0})"
)


def event(**changed: Any) -> AuditEvent:
    fields: dict[str, Any] = {
        "id": uuid4().hex,
        "at_ms": 1_795_000_000_000,
        "action": Action.DOCUMENT_DELETED.value,
        "outcome": Outcome.DONE,
        "actor_kind": ActorKind.USER,
        "actor_id": ADA,
        "object_kind": ObjectKind.DOCUMENT.value,
        "object_id": "6f1c3a52-90b1-4f3c-8c11-0b6c2f9f1a77",
        "provenance": Provenance(
            address="192.0.2.7", agent="0" * 12, credential="b" * 32, request_id="c" * 32
        ),
        "details": AuditDetails(changed=("title",)),
    }
    return AuditEvent(**{**fields, **changed})


async def fill(accounts: Accounts, count: int, writer: str = "rag") -> list[AuditEvent]:
    """Append events, one after the other."""
    events = [event() for _ in range(count)]
    for one in events:
        await accounts.parts.audit.log.append(Told(writer, one))
    return events


async def rows_of(database: Database) -> list[AuditRow]:
    return await database.read(lambda connection: read_rows(connection, 0, FOREVER, 10_000))


async def settle(accounts: Accounts) -> list[AuditRow]:
    """Have everything that was told arrive in the table; return the rows."""
    await accounts.bus.audit.drain(accounts.bus)
    await accounts.parts.audit.outbox.drain()
    loop = WorkLoop(accounts.bus, queues.AUDIT, accounts.parts.audit.gaps.take, slots=4)
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(20):
        while (await accounts.bus.queue_state(queues.AUDIT)).waiting or loop.jobs_running:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.wait([running])
    return await rows_of(accounts.database)


def tamper(connection: Connection, *statements: str) -> None:
    """Do what the database's administrator could do: triggers do not bind whoever may drop them."""
    if connection.dialect.name == "sqlite":
        for name in ("insert", "update", "delete"):
            connection.execute(text(f"DROP TRIGGER IF EXISTS accounts_audit_log_{name}"))
    else:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
    for statement in statements:
        connection.execute(text(statement))


def head_of(connection: Connection) -> Any:
    return connection.execute(select(audit_head).filter_by(name=HEAD)).one()


async def verdict(accounts: Accounts, **fields: Any) -> AuditVerdict:
    return await accounts.ask(subjects.ACCOUNTS_CHECK_AUDIT, CheckAudit(**OWNER, **fields), AuditVerdict)


async def exported(accounts: Accounts, after_seq: int = 0, limit: int = 500) -> list[str]:
    opening = OpenAuditExport(**OWNER, after_seq=after_seq, limit=limit)
    opened = await accounts.ask(subjects.ACCOUNTS_OPEN_AUDIT_EXPORT, opening, AuditExport)
    until_seq = opened.bounds.last_seq if opened.bounds else opened.head_seq
    asked = ReadAuditSegment(**OWNER, after_seq=after_seq, until_seq=until_seq, limit=limit)
    segment = await accounts.ask(subjects.ACCOUNTS_READ_AUDIT_SEGMENT, asked, AuditSegment)
    lines = [opened, *segment.anchors, *segment.rows]
    end = json.dumps({"type": "audit_export_end", "last_seq": opened.head_seq, "is_whole": True})
    return [*(one.model_dump_json() for one in lines), end]
