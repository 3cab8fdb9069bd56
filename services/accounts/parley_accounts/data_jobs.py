"""Exports and erasures at work: leased by one process at a time, noted step by step, ended once."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from parley_contracts.data_rights import DataJobKind, DataJobState, DataReport
from parley_storage import Database
from sqlalchemy import Connection, select, update

from parley_accounts.clock import Clock, unix_ms
from parley_accounts.data_job_rows import JobRow
from parley_accounts.tables import data_jobs


class LeaseLostError(Exception):
    """Another process has the job now, or it has ended: whoever worked on it stops."""


@dataclass(slots=True)
class LeasedJob:
    """A job that this process works on.

    Attributes:
        id: The job.
        user_id: Whom it is about.
        kind: What it is for.
        deadline_at_ms: When it is given up.
        lease_id: What tells this process's hold of it from every other.
        attempts: How often it has been taken up, this time included.
        steps: How far it is.
        report: What it has done.
    """

    id: str
    user_id: str
    kind: DataJobKind
    deadline_at_ms: int
    lease_id: str
    attempts: int
    steps: dict[str, Any] = field(default_factory=dict[str, Any])
    report: DataReport = field(default_factory=DataReport)

    def count(self, service: str, counts: Mapping[str, int]) -> None:
        """Add what was done in a service to the report."""
        merged = {name: dict(places) for name, places in self.report.counts.items()}
        for place, number in counts.items():
            of_service = merged.setdefault(service, {})
            of_service[place] = of_service.get(place, 0) + number
        self.report = self.report.model_copy(update={"counts": merged})


class DataJobs:
    """What processes that work on jobs share."""

    def __init__(self, database: Database, *, lease_s: float, clock: Clock = unix_ms) -> None:
        self._database = database
        self.lease_s = lease_s
        self._clock = clock

    def now_ms(self) -> int:
        """Return the time that deadlines are compared with."""
        return self._clock()

    async def take(self) -> LeasedJob | None:
        """Return the job that is due longest and that nobody holds, from now on held by the caller."""
        lease_id = secrets.token_hex(8)

        def take(connection: Connection) -> LeasedJob | None:
            now_ms = self._clock()
            is_free = (data_jobs.c.due_at_ms <= now_ms) & (data_jobs.c.lease_until_ms <= now_ms)
            query = select(data_jobs).where(is_free).order_by(data_jobs.c.due_at_ms, data_jobs.c.id).limit(1)
            row = connection.execute(query.with_for_update(skip_locked=True)).first()
            if row is None:
                return None
            is_settling = row.state == DataJobState.SETTLING
            connection.execute(
                update(data_jobs)
                .where(data_jobs.c.id == row.id)
                .values(
                    state=DataJobState.SETTLING if is_settling else DataJobState.RUNNING,
                    started_at_ms=row.started_at_ms or now_ms,
                    attempts=row.attempts + 1,
                    lease_id=lease_id,
                    lease_until_ms=self._lease_until_ms(),
                )
            )
            return LeasedJob(
                id=row.id,
                user_id=row.user_id,
                kind=DataJobKind(row.kind),
                deadline_at_ms=row.deadline_at_ms,
                lease_id=lease_id,
                attempts=row.attempts + 1,
                steps=json.loads(row.steps),
                report=DataReport.model_validate_json(row.report),
            )

        return await self._database.write(take)

    async def note(self, job: LeasedJob, **values: Any) -> None:
        """Write down how far a job is, and that it is still worked on; LeaseLostError when it is not ours."""

        def note(connection: Connection) -> None:
            self.note_in(connection, job, **values)

        await self._database.write(note)

    def note_in(self, connection: Connection, job: LeasedJob, **values: Any) -> None:
        """Do so in a transaction that does what is noted."""
        is_ours = (data_jobs.c.id == job.id) & (data_jobs.c.lease_id == job.lease_id)
        noted = {
            "steps": json.dumps(job.steps),
            "report": job.report.model_dump_json(),
            "lease_until_ms": self._lease_until_ms(),
            **values,
        }
        if connection.execute(update(data_jobs).where(is_ours).values(**noted)).rowcount != 1:
            raise LeaseLostError(job.id)

    async def put_off(self, job: LeasedJob, after_s: float, waits_for: str, **values: Any) -> None:
        """Give a job back, to be gone on with after a time."""
        due_at_ms = self._clock() + round(after_s * 1000)
        await self.note(
            job, due_at_ms=due_at_ms, lease_id=None, lease_until_ms=0, waits_for=waits_for, **values
        )

    async def end(self, job: LeasedJob, state: DataJobState, **values: Any) -> None:
        """End a job, once and for all."""
        await self._database.write(lambda connection: self.end_in(connection, job, state, **values))

    def end_in(self, connection: Connection, job: LeasedJob, state: DataJobState, **values: Any) -> None:
        """Do so in a transaction that does what belongs to its end."""
        self.note_in(
            connection,
            job,
            state=state,
            ended_at_ms=self._clock(),
            due_at_ms=None,
            lease_id=None,
            lease_until_ms=0,
            **{"waits_for": None, **values},
        )

    async def hold(self, job: LeasedJob) -> None:
        """Say that a job is still worked on; LeaseLostError when it is not ours."""

        def hold(connection: Connection) -> None:
            is_ours = (data_jobs.c.id == job.id) & (data_jobs.c.lease_id == job.lease_id)
            held = update(data_jobs).where(is_ours).values(lease_until_ms=self._lease_until_ms())
            if connection.execute(held).rowcount != 1:
                raise LeaseLostError(job.id)

        await self._database.write(hold)

    async def give_up(self, job: LeasedJob, error: str) -> None:
        """End a job that cannot go on; what it waits for stays told."""

        def give_up(connection: Connection) -> None:
            query = select(data_jobs.c.waits_for).filter_by(id=job.id)
            waited_for = connection.execute(query).scalar_one_or_none()
            self.note_in(
                connection,
                job,
                state=DataJobState.FAILED,
                error=error,
                waits_for=waited_for,
                ended_at_ms=self._clock(),
                due_at_ms=None,
                lease_id=None,
                lease_until_ms=0,
            )

        await self._database.write(give_up)

    async def expired(self) -> list[JobRow]:
        """Return exports that have failed or whose time is over, and whose file may still be there."""
        is_over = (data_jobs.c.expires_at_ms <= self._clock()) | (data_jobs.c.state == DataJobState.FAILED)
        query = select(data_jobs).where(is_over, data_jobs.c.object_key.is_not(None))
        return list(await self._database.read(lambda connection: connection.execute(query.limit(100)).all()))

    async def exports_of(self, user_id: str, but_job_id: str = "") -> list[JobRow]:
        """Return a user's exports, but one."""
        query = select(data_jobs).where(
            data_jobs.c.user_id == user_id,
            data_jobs.c.kind == DataJobKind.EXPORT,
            data_jobs.c.id != but_job_id,
        )
        return list(await self._database.read(lambda connection: connection.execute(query).all()))

    async def note_file_left(self, job_id: str, object_key: str) -> None:
        """Note that an export that has failed may have left its file; one that goes on sees to it itself."""
        is_left = (data_jobs.c.id == job_id) & (data_jobs.c.state == DataJobState.FAILED)
        left = update(data_jobs).where(is_left).values(object_key=object_key)
        await self._database.write(lambda connection: connection.execute(left))

    async def note_file_gone(self, job_id: str) -> None:
        """Note that the file of an export is not there any more."""
        gone = update(data_jobs).where(data_jobs.c.id == job_id).values(object_key=None)
        await self._database.write(lambda connection: connection.execute(gone))

    def _lease_until_ms(self) -> int:
        return self._clock() + round(self.lease_s * 1000)
