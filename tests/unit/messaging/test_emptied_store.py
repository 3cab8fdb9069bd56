"""A nats-server that comes back without its streams, and what becomes of publishes while it is away."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from nats.errors import OutboundBufferLimitError
from parley_contracts import subjects
from parley_contracts.bus_rights import SERVICES
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import Embed, Embeddings
from parley_messaging import nats_jobs, nats_options
from parley_messaging.bus import JobOutcome, NotStoredError, QueuedJob
from parley_messaging.nats_access import BusAccess
from parley_messaging.nats_bus import NatsBus
from parley_messaging.queues import WorkQueue, llm_jobs
from parley_messaging.streams import TURN_PEN
from parley_messaging.work_loop import WorkLoop

from tests.unit.messaging.test_reconnect import WAIT_S, Server, connected, restart, server, until

__all__ = ["server"]

pytestmark = pytest.mark.nats


class Kept:
    """Jobs that were done."""

    def __init__(self) -> None:
        self.done: set[bytes] = set()

    async def work(self, job: QueuedJob) -> JobOutcome:
        self.done.add(job.data)
        return JobOutcome.DONE


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task until it ends: before Python 3.12 `wait_for` may swallow what comes with an answer."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.5)


@asynccontextmanager
async def working(bus: NatsBus, queue: WorkQueue) -> AsyncGenerator[Kept]:
    """Work on a queue, and keep the streams, while the body runs."""
    kept = Kept()
    async with asyncio.TaskGroup() as tasks:
        loop = WorkLoop(bus, queue, kept.work, slots=2)
        keeping = tasks.create_task(bus.keep_streams())
        running = tasks.create_task(loop.run())
        try:
            yield kept
        finally:
            loop.stop_intake()
            await asyncio.wait([running])
            await ended(keeping)


async def publish_until_full(bus: NatsBus, subject: str, data: bytes) -> int:
    for sent in range(1000):
        try:
            await bus.publish(subject, data)
        except OutboundBufferLimitError:
            return sent
    raise AssertionError("the buffer has no end")


async def stored_eventually(bus: NatsBus, subject: str, data: bytes) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                await bus.store(subject, data, timeout_s=0.5)
                return
            except NotStoredError:
                await asyncio.sleep(0.05)


async def test_streams_and_consumers_of_an_emptied_store_are_made_again(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_jobs, "IDLE_S", 1e6)
    queue = llm_jobs(f"pool-{uuid4().hex}")
    async with connected(server) as bus, working(bus, queue) as kept:
        await bus.objects.put("document", b"before")
        await bus.store(queue.subject, b"before")
        await until(lambda: kept.done == {b"before"})
        server.kill()
        await until(lambda: not bus.is_connected)
        await asyncio.to_thread(shutil.rmtree, tmp_path)
        await asyncio.to_thread(server.start)
        await stored_eventually(bus, queue.subject, b"after")
        await until(lambda: kept.done == {b"before", b"after"})
        turn_id = uuid4().hex
        await stored_eventually(bus, subjects.turn_cancel(turn_id), b"stop")
        assert await bus.last_stored(TURN_PEN, subjects.turn_cancel(turn_id)) is not None
        with pytest.raises(ParleyError) as caught:
            await bus.objects.get("document")
        assert caught.value.code is ErrorCode.NOT_FOUND
        await bus.objects.put("document", b"after")
        assert await bus.objects.get("document") == b"after"
        assert bus.reconnects == 1
    assert "streams are gone and are made anew" in caplog.text


async def test_who_may_not_make_the_bucket_finds_it_there_again(server: Server, tmp_path: Path) -> None:
    keeper, other = (
        NatsBus(server.url, name=name, grace_s=1, access=BusAccess(rights=SERVICES[name]))
        for name in ("gateway", "rag")
    )
    codes: set[ErrorCode] = set()
    await keeper.connect()
    await other.connect()
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(keeper.keep_streams())
        await other.objects.put("document", b"before")
        server.kill()
        await until(lambda: not other.is_connected)
        await asyncio.to_thread(shutil.rmtree, tmp_path)
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    await other.objects.put("document", b"after")
                    break
                except ParleyError as error:
                    codes.add(error.code)
                    await asyncio.sleep(0.05)
        assert codes <= {ErrorCode.UNAVAILABLE}
        assert await other.objects.get("document") == b"after"
        await ended(keeping)
    await other.close()
    await keeper.close()


async def test_a_store_that_is_still_there_is_left_as_it_is(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    queue = llm_jobs(f"pool-{uuid4().hex}")
    async with connected(server) as bus, working(bus, queue) as kept:
        await restart(server, bus)
        await stored_eventually(bus, queue.subject, b"after")
        await until(lambda: kept.done == {b"after"})
    assert "made anew" not in caplog.text


async def test_a_consumer_that_was_deleted_is_made_again_when_its_queue_stays_empty(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_jobs, "IDLE_S", 1.0)
    queue = llm_jobs(f"pool-{uuid4().hex}")
    async with connected(server) as bus, working(bus, queue) as kept:
        await bus.store(queue.subject, b"before")
        await until(lambda: kept.done == {b"before"})
        streams = bus.connection.jetstream()  # pyright: ignore[reportUnknownMemberType] - nats-py leaves its options untyped
        assert await streams.delete_consumer(queue.stream, queue.consumer)
        await bus.store(queue.subject, b"after")
        await until(lambda: kept.done == {b"before", b"after"})


async def test_what_does_not_fit_into_the_outbound_buffer_is_refused_and_not_kept(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_options, "OUTBOUND_BYTES", 64 * 1024)
    subject, chunk = subjects.turn_events("home", uuid4().hex), bytes(1024)
    async with connected(server) as bus:
        server.kill()
        await until(lambda: not bus.is_connected)
        sent = await publish_until_full(bus, subject, chunk)
        assert 48 <= sent < 64
        with pytest.raises(ParleyError) as refused:
            await bus.request(subjects.NPU_EMBED, Embed(texts=("a" * 2048,)), Embeddings)
        assert refused.value.code is ErrorCode.UNAVAILABLE
        with pytest.raises(NotStoredError):
            await bus.store(subject, chunk)
        # What fitted goes out when the server is back, in order.
        await asyncio.to_thread(server.start)
        await until(lambda: bus.is_connected)
        await stored_eventually(bus, subject, chunk)
        ack = await bus.store(subject, chunk)
        assert ack.stream_seq == sent + 2
