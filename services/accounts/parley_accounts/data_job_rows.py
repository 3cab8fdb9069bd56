"""Rows of exports and erasures as requests write and read them."""

import json
import secrets
from collections.abc import Mapping
from typing import Any

from parley_contracts.data_places import kept_places
from parley_contracts.data_rights import (
    VISITOR,
    DataJob,
    DataJobKind,
    DataJobState,
    DataReport,
    visitors_of,
)
from sqlalchemy import Connection, insert, select
from sqlalchemy.engine import Row

from parley_accounts.tables import data_jobs

JobRow = Row[Any]
VISITORS_MS = 365 * 86_400_000
"""How long the erasure of a deleted bot's visitors is tried: nobody is there who would ask again."""

OPEN_STATES = (DataJobState.WAITING, DataJobState.RUNNING, DataJobState.SETTLING)


def described_job(row: JobRow) -> DataJob:
    """Return a job as whoever may see it does."""
    names = [name for name in DataJob.model_fields if name not in {"type", "report"}]
    told = {name: getattr(row, name) for name in names}
    return DataJob.model_validate({**told, "report": json.loads(row.report)})


def find_open(connection: Connection, user_id: str, kind: DataJobKind) -> JobRow | None:
    """Return the job of a kind that is under way for a user; his row is locked, so that there is one."""
    query = select(data_jobs).where(
        data_jobs.c.user_id == user_id, data_jobs.c.kind == kind, data_jobs.c.state.in_(OPEN_STATES)
    )
    return connection.execute(query).first()


def is_being_erased(connection: Connection, user_id: str) -> bool:
    """Return whether somebody has asked for a user's erasure, however it went."""
    query = select(data_jobs.c.id).filter_by(user_id=user_id, kind=DataJobKind.ERASURE).limit(1)
    return connection.execute(query).first() is not None


def insert_visitors_erasure(connection: Connection, bot_id: str, *, asked_by: str, now_ms: int) -> None:
    """Have what visitors asked of a bot that is deleted removed; its row is in no user's list."""
    insert_job(
        connection,
        DataJobKind.ERASURE,
        visitors_of(bot_id),
        asked_by=asked_by,
        now_ms=now_ms,
        lasts_ms=VISITORS_MS,
        steps={"bots": [bot_id]},
    )


def find_bots_left(connection: Connection, user_id: str) -> list[str]:
    """Return the bots that a user has deleted, and whose visitors' erasure was given up."""
    query = select(data_jobs.c.steps).where(
        data_jobs.c.asked_by == user_id,
        data_jobs.c.user_id.startswith(VISITOR, autoescape=True),
        data_jobs.c.state == DataJobState.FAILED,
    )
    return [bot_id for row in connection.execute(query) for bot_id in bots_of_erasure(row)]


def bots_of_erasure(row: JobRow) -> list[str]:
    """Return the bots whose visitors' data go with an erasure."""
    return list(json.loads(row.steps)["bots"])


def find_last_erasure(connection: Connection, user_id: str) -> JobRow | None:
    """Return the erasure that was asked for last, however it went."""
    query = select(data_jobs).filter_by(user_id=user_id, kind=DataJobKind.ERASURE)
    newest = query.order_by(data_jobs.c.asked_at_ms.desc(), data_jobs.c.id).limit(1)
    return connection.execute(newest).first()


def insert_job(
    connection: Connection,
    kind: DataJobKind,
    user_id: str,
    *,
    asked_by: str,
    now_ms: int,
    lasts_ms: int,
    steps: Mapping[str, Any],
) -> DataJob:
    """Write a job down that begins at once."""
    report = DataReport(kept=kept_places() if kind is DataJobKind.ERASURE else {})
    values = {
        "id": secrets.token_hex(16),
        "user_id": user_id,
        "kind": kind,
        "state": DataJobState.WAITING,
        "asked_by": asked_by,
        "asked_at_ms": now_ms,
        "deadline_at_ms": now_ms + lasts_ms,
        "due_at_ms": now_ms,
        "lease_until_ms": 0,
        "attempts": 0,
        "steps": json.dumps(steps),
        "report": report.model_dump_json(),
    }
    connection.execute(insert(data_jobs).values(**values))
    return described_job(connection.execute(select(data_jobs).filter_by(id=values["id"])).one())
