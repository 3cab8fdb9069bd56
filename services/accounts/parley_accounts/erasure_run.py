"""One erasure: every service is asked for part after part, twice, each part noted before the next.

The second round comes when what was on its way at the first has arrived: a transaction that had begun, an
upload, a turn that was being stopped.
"""

from functools import partial

from parley_contracts import subjects
from parley_contracts.data_rights import DataJobState, DataReport, ErasedPart, EraseUser, export_key
from parley_contracts.errors import ErrorCode, ParleyError
from parley_messaging import Bus
from parley_messaging.acting import acting_for, system_of
from parley_storage import Database
from sqlalchemy import Connection

from parley_accounts.account_rows import erase_account
from parley_accounts.data_jobs import DataJobs, LeasedJob

PART_S = 30.0
"""How long a service may take for a part."""

AGAIN_S = 1.0
"""When a service is asked again that waits for something to be over."""

_ROUNDS = 2
_ACCOUNT = "accounts"
_ASKED = {
    "turns": subjects.TURN_ERASE_USER,
    "memory": subjects.MEMORY_ERASE_USER,
    "rag": subjects.RAG_ERASE_USER,
    "llm": subjects.LLM_ERASE_USER,
}
STEPS = (*_ASKED, _ACCOUNT)
"""Turns first: what runs is stopped before its place is emptied. The account last: it says who is meant."""


class ErasureRun:
    """Goes on with an erasure from wherever it stands."""

    def __init__(self, bus: Bus, database: Database, jobs: DataJobs, *, settle_s: float) -> None:
        self._bus = bus
        self._database = database
        self._jobs = jobs
        self._settle_s = settle_s

    async def run(self, job: LeasedJob) -> None:
        """Take the steps that are left; a step that has to wait gives the job back."""
        while (at := int(job.steps.get("at", 0))) < len(STEPS) * _ROUNDS:
            step = STEPS[at % len(STEPS)]
            waits_for = await (self._erase_account(job) if step == _ACCOUNT else self._ask(job, step))
            if waits_for is not None:
                await self._jobs.put_off(job, AGAIN_S, waits_for)
                return
            job.steps |= {"at": at + 1, "cursor": None}
            if at + 1 == len(STEPS):
                waits_for = "what was on its way"
                await self._jobs.put_off(job, self._settle_s, waits_for, state=DataJobState.SETTLING)
                return
            await self._jobs.note(job)
        await self._jobs.end(job, DataJobState.DONE)

    async def _ask(self, job: LeasedJob, service: str) -> str | None:
        """Have a service erase all parts; return what it waits for, if it has to."""
        while True:
            request = EraseUser(
                owner_id=job.user_id, bot_ids=tuple(job.steps["bots"]), cursor=job.steps.get("cursor")
            )
            part = await self._part(service, request)
            job.count(service, {one.place: one.count for one in part.removed})
            job.steps["cursor"] = part.next_cursor
            await self._jobs.note(job, waits_for=part.waits_for)
            if self._jobs.now_ms() > job.deadline_at_ms:
                return f"{service}: more parts"
            if part.is_done:
                return None
            if part.waits_for is not None and (part.next_cursor is None or not part.removed):
                return f"{service}: {part.waits_for}"

    async def _part(self, service: str, request: EraseUser) -> ErasedPart:
        try:
            with acting_for(system_of(request.owner_id)):
                return await self._bus.request(_ASKED[service], request, ErasedPart, timeout_s=PART_S)
        except ParleyError as error:
            raise waiting_for(service, error) from error

    async def _erase_account(self, job: LeasedJob) -> str | None:
        for row in await self._jobs.exports_of(job.user_id):
            try:
                # Also of one that was cut short between its file and its row.
                await self._bus.objects.delete(export_key(row.id))
            except ParleyError as error:
                raise waiting_for("the object store", error) from error
            await self._jobs.note_file_gone(row.id)
        await self._database.write(partial(self._erase_rows, job=job, before=job.report))
        return None if await self._database.truncate_log() else "accounts: a reader of the database"

    def _erase_rows(self, connection: Connection, *, job: LeasedJob, before: DataReport) -> None:
        # What a try has counted that was rolled back is not counted by the next.
        job.report = before
        job.count(_ACCOUNT, erase_account(connection, job.user_id, self._jobs.now_ms()))
        self._jobs.note_in(connection, job)


def waiting_for(service: str, error: ParleyError) -> ParleyError:
    """Return an error as it is told; a service that is away, or has yet to learn our key, is waited for."""
    is_retryable = error.retryable or error.code is ErrorCode.FORBIDDEN
    return ParleyError(error.code, f"{service}: {error.message}", retryable=is_retryable)
