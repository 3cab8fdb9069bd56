"""Jobs of a work queue: how many at once, what their outcomes do, and how the loop ends."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from parley_contracts import headers
from parley_contracts.health import HealthQuestion
from parley_messaging import work_loop
from parley_messaging.bus import Bus, JobOutcome, QueuedJob
from parley_messaging.nats_bus import NatsBus
from parley_messaging.queues import ACK_WAIT_S, WorkQueue, llm_jobs
from parley_messaging.trace_context import current
from parley_messaging.work_loop import WorkLoop
from pydantic import ValidationError

WAIT_S = 12.0


class Hands:
    """A handler that notes what it was given and does what the test says."""

    def __init__(self, outcome: JobOutcome = JobOutcome.DONE) -> None:
        self.outcome = outcome
        self.deliveries: list[tuple[bytes, int]] = []
        self.begun_s: list[float] = []
        self.running = self.most = 0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self._changed = asyncio.Event()

    async def handle(self, job: QueuedJob) -> JobOutcome:
        self.deliveries.append((job.data, job.deliveries))
        self.begun_s.append(asyncio.get_running_loop().time())
        self.running += 1
        self.most = max(self.most, self.running)
        self._changed.set()
        try:
            await self.may_end.wait()
        finally:
            self.running -= 1
            self._changed.set()
        return self.outcome

    async def until(self, is_so: Callable[["Hands"], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not is_so(self):
                self._changed.clear()
                await self._changed.wait()


def new_queue() -> WorkQueue:
    return llm_jobs(f"pool-{uuid4().hex}")


@asynccontextmanager
async def working(loop: WorkLoop) -> AsyncGenerator[asyncio.Task[None]]:
    task = asyncio.create_task(loop.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=WAIT_S)


async def is_empty(bus: Bus, queue: WorkQueue) -> bool:
    """Return whether the queue holds no job, delivered or not, that could come again now."""
    source = await bus.open_jobs(queue)
    job = await source.fetch(0.2)
    await source.close()
    return job is None


async def test_no_more_jobs_run_at_once_than_there_are_slots(bus: Bus) -> None:
    await bus.start()
    queue, hands = new_queue(), Hands()
    hands.may_end.clear()
    for number in range(7):
        await bus.store(queue.subject, b"%d" % number)
    async with working(WorkLoop(bus, queue, hands.handle, slots=3)):
        await hands.until(lambda found: found.running == 3)
        hands.may_end.set()
        await hands.until(lambda found: len(found.deliveries) == 7 and found.running == 0)
    assert hands.most == 3
    assert {data for data, _ in hands.deliveries} == {b"%d" % number for number in range(7)}


async def test_stopping_intake_finishes_what_is_at_hand_and_takes_nothing_new(bus: Bus) -> None:
    await bus.start()
    queue, hands = new_queue(), Hands()
    hands.may_end.clear()
    await bus.store(queue.subject, b"at hand")
    loop = WorkLoop(bus, queue, hands.handle, slots=1)
    async with working(loop) as task:
        await hands.until(lambda found: found.running == 1)
        loop.stop_intake()
        await bus.store(queue.subject, b"too late")
        hands.may_end.set()
        async with asyncio.timeout(WAIT_S):
            await task
    assert [data for data, _ in hands.deliveries] == [b"at hand"]
    assert loop.jobs_running == 0
    source = await bus.open_jobs(queue)
    late = await source.fetch(1.0)
    await source.close()
    assert late is not None
    assert late.data == b"too late"
    await late.ack()


async def test_a_job_to_retry_comes_again_after_a_pause_and_then_is_done(bus: Bus) -> None:
    await bus.start()
    queue, hands = new_queue(), Hands(JobOutcome.RETRY)
    await bus.store(queue.subject, b"job")
    async with working(WorkLoop(bus, queue, hands.handle, slots=2)):
        await hands.until(lambda found: len(found.deliveries) == 1)
        hands.outcome = JobOutcome.DONE
        await hands.until(lambda found: len(found.deliveries) == 2 and found.running == 0)
    # Which delivery it is, nats-server 2.9 does not always count right on a new consumer.
    assert [data for data, _ in hands.deliveries] == [b"job", b"job"]
    assert hands.begun_s[1] - hands.begun_s[0] >= 0.9
    assert await is_empty(bus, queue)


@pytest.mark.parametrize(("deliveries", "pause_s"), [(1, 1.0), (2, 2.0), (5, 16.0), (10_000, 30.0)])
async def test_each_retry_waits_longer_up_to_a_limit(deliveries: int, pause_s: float) -> None:
    pauses: list[float] = []

    class Job:
        subject, data, headers = "s", b"", dict[str, str]()

        async def release(self, delay_s: float) -> None:
            pauses.append(delay_s)

    job = Job()
    setattr(job, "deliveries", deliveries)  # noqa: B010 - the class body does not see the parameter
    loop = WorkLoop(None, new_queue(), Hands().handle, slots=1)  # type: ignore[arg-type]  # nothing is fetched
    await loop._settle(job, JobOutcome.RETRY)  # type: ignore[arg-type]  # pyright: ignore  # the pause is decided here
    assert pauses == [pause_s]


async def test_a_handler_that_raises_is_called_again(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    await bus.start()
    queue = new_queue()
    calls: asyncio.Queue[bytes] = asyncio.Queue()
    failures = [RuntimeError("once")]

    async def fail_once(job: QueuedJob) -> JobOutcome:
        calls.put_nowait(job.data)
        if failures:
            raise failures.pop()
        return JobOutcome.DONE

    await bus.store(queue.subject, b"job")
    async with working(WorkLoop(bus, queue, fail_once, slots=1)), asyncio.timeout(WAIT_S):
        assert [await calls.get(), await calls.get()] == [b"job", b"job"]
    assert [record.message for record in caplog.records] == ["job failed"]


@pytest.mark.parametrize("is_in_a_group", [False, True], ids=["alone", "in a group"])
async def test_a_job_for_which_something_cannot_be_read_is_left_to_others_but_not_for_ever(
    bus: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_in_a_group: bool
) -> None:
    monkeypatch.setattr(work_loop, "MAX_UNREAD", 2)
    await bus.start()
    queue = new_queue()
    calls: asyncio.Queue[bytes] = asyncio.Queue()

    async def read_nonsense(job: QueuedJob) -> JobOutcome:
        calls.put_nowait(job.data)
        try:
            HealthQuestion.model_validate_json(b"nonsense")
        except ValidationError as error:
            if is_in_a_group:
                raise ExceptionGroup("tasks", [error]) from None
            raise
        return JobOutcome.DONE

    await bus.store(queue.subject, b"job")

    def told() -> list[bool]:
        return [vars(record)["is_dropped"] for record in caplog.records if "is_dropped" in vars(record)]

    async with working(WorkLoop(bus, queue, read_nonsense, slots=1)), asyncio.timeout(WAIT_S):
        # nats-server may count a repeat as a first delivery: what it counts is believed.
        while True not in told():
            assert await calls.get() == b"job"
    assert await is_empty(bus, queue)
    assert {record.message for record in caplog.records} == {"what is stored for a job cannot be read"}
    assert len(told()) >= 2
    assert told() == [False] * (len(told()) - 1) + [True]


async def test_a_job_whose_headers_are_nonsense_is_handled_like_any_other(bus: Bus) -> None:
    await bus.start()
    queue, hands = new_queue(), Hands()
    nonsense = {headers.DEADLINE: "9" * 5000, headers.TRACEPARENT: "?"}
    await bus.store(queue.subject, b"job", headers=nonsense)
    async with working(WorkLoop(bus, queue, hands.handle, slots=1)) as task:
        await hands.until(lambda found: len(found.deliveries) == 1)
        assert not task.done()


async def test_a_job_is_handled_in_the_trace_it_was_sent_from(bus: Bus) -> None:
    await bus.start()
    queue = new_queue()
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def note(_: QueuedJob) -> JobOutcome:
        context = current()
        found.set_result(context.correlation_id if context else "")
        return JobOutcome.DONE

    await bus.store(queue.subject, b"job", headers={headers.CORRELATION_ID: "turn-1"})
    async with working(WorkLoop(bus, queue, note, slots=1)), asyncio.timeout(WAIT_S):
        assert await found == "turn-1"


@pytest.mark.nats
async def test_heartbeats_keep_a_long_job_and_a_job_that_is_left_comes_again(nats_url: str) -> None:
    bus = NatsBus(nats_url, name="test")
    await bus.start()
    queue, hands, left = new_queue(), Hands(), Hands(JobOutcome.LEAVE)
    hands.may_end.clear()
    began_s = asyncio.get_running_loop().time()
    await bus.store(queue.subject, b"long")

    async def handle(job: QueuedJob) -> JobOutcome:
        return await (left if job.data == b"left" else hands).handle(job)

    async with working(WorkLoop(bus, queue, handle, slots=4)):
        await hands.until(lambda found: found.running == 1)
        await bus.store(queue.subject, b"left")
        # By the time the job that was left comes again, the long one would have come again as well.
        await left.until(lambda found: len(found.deliveries) == 2)
        assert left.begun_s[1] - left.begun_s[0] >= ACK_WAIT_S - 0.5
        assert asyncio.get_running_loop().time() - began_s >= ACK_WAIT_S
        assert hands.deliveries == [(b"long", 1)]
        hands.may_end.set()
        await hands.until(lambda found: found.running == 0)
    await bus.close()


async def test_a_cancelled_loop_ends_at_once_and_leaves_its_job_to_others(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_loop, "HEARTBEAT_S", 60)
    await bus.start()
    queue, hands = new_queue(), Hands()
    hands.may_end.clear()
    await bus.store(queue.subject, b"job")
    loop = asyncio.get_running_loop()
    async with working(WorkLoop(bus, queue, hands.handle, slots=2)) as task:
        await hands.until(lambda found: found.running == 1)
        began_s = loop.time()
        task.cancel()
        await asyncio.wait([task], timeout=WAIT_S)
        await bus.close()
        assert task.cancelled()
        assert loop.time() - began_s < 1.0
    assert hands.running == 0
