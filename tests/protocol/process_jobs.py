"""Jobs of the shared bus as one simulated process fetches and settles them."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from parley_messaging.bus import QueuedJob
from parley_messaging.queues import WorkQueue

Result = TypeVar("Result")


class Operations(Protocol):
    """Who counts what a process does."""

    def require_life(self) -> None: ...

    async def operate(
        self,
        name: str,
        perform: Callable[[], Awaitable[Result]],
        *,
        lost: Callable[[], Awaitable[Result]] | None = None,
        refused: Callable[[], Awaitable[Result]] | None = None,
    ) -> Result: ...


async def do_nothing() -> None:
    return None


class ProcessJob:
    def __init__(self, bus: Operations, job: QueuedJob) -> None:
        self._bus, self._job = bus, job
        self.subject, self.data = job.subject, job.data
        self.headers, self.deliveries, self.stream_seq = job.headers, job.deliveries, job.stream_seq

    async def ack(self) -> None:
        await self._bus.operate("ack", self._job.ack, lost=do_nothing)

    async def release(self, delay_s: float) -> None:
        await self._bus.operate("release", lambda: self._job.release(delay_s), lost=do_nothing)

    async def in_progress(self) -> None:
        await self._bus.operate("in_progress", self._job.in_progress, lost=do_nothing)


class ProcessJobSource:
    def __init__(self, bus: Operations, source: Any, queue: WorkQueue) -> None:
        self._bus, self._source, self._queue = bus, source, queue

    async def fetch(self, timeout_s: float) -> QueuedJob | None:
        self._bus.require_life()
        # The wait itself is no operation: what is counted is a job on its way to this process.
        job = await self._source.fetch(timeout_s)
        if job is None:
            self._bus.require_life()
            return None

        async def arrive() -> QueuedJob | None:
            return ProcessJob(self._bus, job)

        async def lost() -> QueuedJob | None:
            return None

        return await self._bus.operate(f"fetch {self._queue.stream}", arrive, lost=lost)

    async def close(self) -> None:
        self._bus.require_life()
        await self._source.close()
