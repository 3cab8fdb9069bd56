"""Works on exports and erasures that are due; of all processes one at a time holds a job."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from parley_contracts.data_rights import DataJobKind
from parley_contracts.errors import ErrorCode, ParleyError
from parley_messaging import Bus

from parley_accounts.data_jobs import DataJobs, LeasedJob, LeaseLostError

log = logging.getLogger("parley.accounts")

AT_ONCE = 2
POLL_S = 5.0
FIRST_RETRY_S = 1.0
LAST_RETRY_S = 60.0
MOST_FAILURES = 20
"""How often a job is tried that fails for a reason that is no service's absence."""

Run = Callable[[LeasedJob], Awaitable[None]]


class DataRunner:
    """Takes jobs, keeps hold of them while it works, and gives back what cannot go on now."""

    def __init__(self, bus: Bus, jobs: DataJobs, runs: dict[DataJobKind, Run]) -> None:
        self._bus = bus
        self._jobs = jobs
        self._runs = runs
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Say that a job may be due; returns at once."""
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(self._run_endlessly())

    async def _run_endlessly(self) -> None:
        while True:
            self._woken.clear()
            has_worked = False
            try:
                has_worked = await self.run_due()
                await self.remove_expired()
            except Exception:
                log.warning("exports and erasures cannot be worked on now", exc_info=True)
            if not has_worked:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(POLL_S, self._jobs.lease_s)):
                        await self._woken.wait()

    async def run_due(self) -> bool:
        """Work on the job that is due longest; False when there is none."""
        job = await self._jobs.take()
        if job is None:
            return False
        try:
            async with asyncio.TaskGroup() as tasks:
                holding = tasks.create_task(self._hold(job))
                try:
                    await self._work(job)
                finally:
                    holding.cancel()
        except* LeaseLostError:
            log.info("a data job is worked on elsewhere, or has ended", extra={"job_id": job.id})
        return True

    async def remove_expired(self) -> int:
        """Remove the files of exports that have failed or whose time is over; return how many there were."""
        rows = await self._jobs.expired()
        for row in rows:
            await self._bus.objects.delete(row.object_key)
            await self._jobs.note_file_gone(row.id)
        return len(rows)

    async def _hold(self, job: LeasedJob) -> None:
        while True:
            await asyncio.sleep(self._jobs.lease_s / 3)
            with contextlib.suppress(ParleyError):
                await self._jobs.hold(job)

    async def _work(self, job: LeasedJob) -> None:
        if self._jobs.now_ms() > job.deadline_at_ms:
            await self._fail(job, "Its time is over; ask for it again.")
            return
        try:
            await self._runs[job.kind](job)
        except ParleyError as error:
            if error.retryable:
                await self._put_off(job, error.message)
            else:
                await self._fail(job, error.message)
        except LeaseLostError:
            raise
        except Exception:
            log.exception("a data job failed", extra={"job_id": job.id, "kind": job.kind})
            await self._try_again(job)

    async def _try_again(self, job: LeasedJob) -> None:
        """Put a job off that failed for a reason of our own; so often and no more."""
        failures = int(job.steps.get("failures", 0)) + 1
        job.steps["failures"] = failures
        told = ParleyError(ErrorCode.INTERNAL, "Something went wrong.").message
        if failures >= MOST_FAILURES:
            await self._fail(job, told)
        else:
            await self._put_off(job, told)

    async def _put_off(self, job: LeasedJob, waits_for: str) -> None:
        log.info("a data job waits", extra={"job_id": job.id, "waits_for": waits_for})
        tries = int(job.steps.get("tries", 0))
        job.steps["tries"] = tries + 1
        await self._jobs.put_off(job, min(FIRST_RETRY_S * 2 ** min(tries, 10), LAST_RETRY_S), waits_for)

    async def _fail(self, job: LeasedJob, error: str) -> None:
        log.warning("a data job is given up", extra={"job_id": job.id, "kind": job.kind})
        await self._jobs.give_up(job, error)
