"""Runs the jobs of a work queue: fetch one for a free slot, keep it alive, acknowledge its end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import cast
from uuid import uuid4

from pydantic import ValidationError

from parley_messaging.bus import Bus, JobOutcome, QueuedJob
from parley_messaging.error_boundary import described
from parley_messaging.message_headers import incoming
from parley_messaging.queues import FETCH_S, HEARTBEAT_S, WorkQueue
from parley_messaging.trace_context import working_in

log = logging.getLogger("parley.messaging")

JobHandler = Callable[[QueuedJob], Awaitable[JobOutcome]]

INSTANT_S = 0.05
"""A fetch that returns nothing sooner than this was refused, and is not repeated at once."""

BACK_OFF_S = 0.25
MAX_RETRY_S = 30.0

MAX_UNREAD = 8
"""A job for which something stored cannot be read is left to others so often: a minute and a half."""


class WorkLoop:
    """At most `slots` jobs at a time; a job stays in its queue until its handler says it is done."""

    def __init__(
        self, bus: Bus, queue: WorkQueue, handler: JobHandler, *, slots: int, pullers: int = 2
    ) -> None:
        self.queue = queue
        self.slots = slots
        self._bus = bus
        self._handler = handler
        self._pullers = min(pullers, slots)
        self._free = asyncio.Semaphore(slots)
        self._running: dict[str, QueuedJob] = {}
        self._stopping = asyncio.Event()

    @property
    def jobs_running(self) -> int:
        """How many jobs are being worked on."""
        return len(self._running)

    def stop_intake(self) -> None:
        """Fetch no more; `run` returns when the jobs at hand are done."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop_intake`, then finish what is at hand. Cancelled, it leaves jobs to others."""
        async with asyncio.TaskGroup() as heart:
            beating = heart.create_task(self._beat())
            async with asyncio.TaskGroup() as jobs:
                for _ in range(self._pullers):
                    jobs.create_task(self._pull(jobs))
            beating.cancel()

    async def _pull(self, jobs: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        source = await self._bus.open_jobs(self.queue)
        try:
            while not self._stopping.is_set() and await self._has_free_slot():
                began_s = loop.time()
                job = await source.fetch(FETCH_S)
                if job is not None:
                    jobs.create_task(self._work(job))
                    # The job goes first: to ask for the next one takes a tenth of a millisecond.
                    await asyncio.sleep(0)
                    continue
                self._free.release()
                if loop.time() - began_s < INSTANT_S:
                    await self._pause(BACK_OFF_S)
        finally:
            await source.close()

    async def _has_free_slot(self) -> bool:
        if not self._free.locked():
            return await self._free.acquire()
        acquiring = asyncio.ensure_future(self._free.acquire())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([acquiring, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not acquiring.done():
                acquiring.cancel()
        has_slot = acquiring.done() and not acquiring.cancelled()
        if has_slot and self._stopping.is_set():
            # The stop came while the slot was waited for, and jobs are fetched no more.
            self._free.release()
            return False
        return has_slot

    async def _pause(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _work(self, job: QueuedJob) -> None:
        key = uuid4().hex
        self._running[key] = job
        try:
            with working_in(incoming(job.headers)):
                await self._settle(job, await self._handle(job))
        finally:
            del self._running[key]
            self._free.release()

    async def _handle(self, job: QueuedJob) -> JobOutcome:
        try:
            return await self._handler(job)
        except Exception as error:
            if (unread := _unread(error)) is not None:
                return _left_to_others(job, unread)
            log.exception("job failed", extra={"subject": job.subject, "deliveries": job.deliveries})
            return JobOutcome.RETRY

    async def _settle(self, job: QueuedJob, outcome: JobOutcome) -> None:
        try:
            if outcome is JobOutcome.DONE:
                await job.ack()
            elif outcome is JobOutcome.RETRY:
                await job.release(min(MAX_RETRY_S, 0.5 * 2 ** min(job.deliveries, 10)))
        except Exception:
            # Unacknowledged, the job comes again; handlers are idempotent.
            log.exception("job was not settled", extra={"subject": job.subject})

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            for job in tuple(self._running.values()):
                try:
                    await job.in_progress()
                except Exception:  # noqa: BLE001 - the boundary of the heartbeat: the next one may pass
                    log.warning("heartbeat was not sent", extra={"subject": job.subject})


def _unread(error: Exception) -> ValidationError | None:
    """Return what could not be read, if a handler failed by that."""
    while isinstance(error, ExceptionGroup):
        error = cast(ExceptionGroup[Exception], error).exceptions[0]
    return error if isinstance(error, ValidationError) else None


def _left_to_others(job: QueuedJob, unread: ValidationError) -> JobOutcome:
    """Leave a job to newer workers, which may be able to read what this one cannot; not for ever."""
    is_dropped = job.deliveries >= MAX_UNREAD
    told = {"subject": job.subject, "fault": described(unread).message, "is_dropped": is_dropped}
    log.error("what is stored for a job cannot be read", extra=told)
    return JobOutcome.DONE if is_dropped else JobOutcome.RETRY
