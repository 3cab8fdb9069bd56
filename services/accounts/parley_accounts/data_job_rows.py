"""Rows of exports and erasures as requests write and read them."""

import json
import secrets
from collections.abc import Mapping
from typing import Any

from parley_contracts.data_places import kept_places
from parley_contracts.data_rights import (
    MAX_BOTS_NAMED,
    VISITOR,
    DataJob,
    DataJobKind,
    DataJobState,
    DataReport,
    visitors_of,
)
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.engine import Row

from parley_accounts.tables import data_jobs

JobRow = Row[Any]
GATHERED_MS = 30_000
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
    """Have what visitors asked of a bot that is deleted removed soon, together with other bots of its owner.

    Each erasure reads the streams of a day: bots that are made and deleted in a row cost one.
    """
    query = select(data_jobs.c.id, data_jobs.c.steps).where(
        data_jobs.c.due_at_ms.is_not(None),
        data_jobs.c.state == DataJobState.WAITING,
        data_jobs.c.asked_by == asked_by,
        data_jobs.c.user_id.startswith(VISITOR, autoescape=True),
    )
    waiting = connection.execute(query.limit(1).with_for_update()).first()
    gathered = [] if waiting is None else bots_of_erasure(waiting.steps)
    if waiting is not None and len(gathered) < MAX_BOTS_NAMED:
        steps = json.dumps({"bots": [*gathered, bot_id]})
        connection.execute(update(data_jobs).where(data_jobs.c.id == waiting.id).values(steps=steps))
        return
    insert_job(
        connection,
        DataJobKind.ERASURE,
        visitors_of(bot_id),
        asked_by=asked_by,
        now_ms=now_ms,
        lasts_ms=VISITORS_MS,
        steps={"bots": [bot_id]},
        begins_after_ms=GATHERED_MS,
    )


def find_bots_left(connection: Connection, user_id: str) -> list[str]:
    """Return the bots that a user has deleted, and whose visitors' erasure was given up."""
    query = select(data_jobs.c.steps).where(
        data_jobs.c.asked_by == user_id,
        data_jobs.c.user_id.startswith(VISITOR, autoescape=True),
        data_jobs.c.state == DataJobState.FAILED,
    )
    return [bot_id for steps in connection.execute(query).scalars() for bot_id in bots_of_erasure(steps)]


def bots_of_erasure(steps: str) -> list[str]:
    """Return the bots whose visitors' data go with an erasure, by its steps."""
    return list(json.loads(steps)["bots"])


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
    begins_after_ms: int = 0,
) -> DataJob:
    """Write a job down, which begins at once unless it has to wait."""
    report = DataReport(kept=kept_places() if kind is DataJobKind.ERASURE else {})
    values = {
        "id": secrets.token_hex(16),
        "user_id": user_id,
        "kind": kind,
        "state": DataJobState.WAITING,
        "asked_by": asked_by,
        "asked_at_ms": now_ms,
        "deadline_at_ms": now_ms + lasts_ms,
        "due_at_ms": now_ms + begins_after_ms,
        "lease_until_ms": 0,
        "attempts": 0,
        "steps": json.dumps(steps),
        "report": report.model_dump_json(),
    }
    connection.execute(insert(data_jobs).values(**values))
    return described_job(connection.execute(select(data_jobs).filter_by(id=values["id"])).one())
