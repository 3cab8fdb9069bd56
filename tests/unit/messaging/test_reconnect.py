"""nats-server killed and started again on the same store: everything that was subscribed goes on."""

import asyncio
import subprocess
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_contracts.npu import Embed, Embeddings
from parley_contracts.turn_events import EpochStarted, encode_event, text_delta_frame
from parley_contracts.turns import PenRole
from parley_messaging.bus import JobOutcome, QueuedJob
from parley_messaging.holds import Holds
from parley_messaging.nats_bus import NatsBus
from parley_messaging.queues import llm_jobs
from parley_messaging.turn_log import read_turn_log
from parley_messaging.turn_watch import TurnWatches
from parley_messaging.turn_writer import TurnWriter, TurnWriters
from parley_messaging.work_loop import WorkLoop

from tests.conftest import executable, free_port, wait_for_port

pytestmark = pytest.mark.nats

WAIT_S = 15.0
HOME = "gateway-1"


class Server:
    """A nats-server that can be killed and started again where it was."""

    def __init__(self, store: Path) -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._command = [executable("nats-server"), "-a", "127.0.0.1", "-p", str(self.port)]
        self._command += ["-js", "-sd", str(store)]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        wait_for_port(self.port, self._process)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Generator[Server]:
    started = Server(tmp_path)
    yield started
    started.kill()


@asynccontextmanager
async def connected(server: Server) -> AsyncGenerator[NatsBus]:
    bus = NatsBus(server.url, name="test", grace_s=2)
    await bus.connect()
    try:
        yield bus
    finally:
        async with asyncio.timeout(WAIT_S):
            await bus.close()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not is_so():  # noqa: ASYNC110 - the client's state changes without a sign
            await asyncio.sleep(0.02)


async def restart(server: Server, *buses: NatsBus) -> None:
    before = [bus.reconnects for bus in buses]
    server.kill()
    await until(lambda: not any(bus.is_connected for bus in buses))
    await asyncio.to_thread(server.start)
    # A connection that is there again may not have subscribed yet: this is told when the server has heard it.
    await until(lambda: all(bus.reconnects > known for bus, known in zip(buses, before, strict=True)))


def opening(seq: int) -> bytes:
    return encode_event(EpochStarted(seq=seq, follows=0, turn_id="t", keep_chars=0))


def delta(seq: int, text: str) -> bytes:
    return text_delta_frame(b'"t"', seq, text)


async def test_requests_and_holds_are_answered_again(server: Server) -> None:
    async def embed(request: Embed) -> Embeddings:
        return Embeddings(model="m", engine="e", dimensions=len(request.texts), vectors=b"\x00" * 4)

    async with connected(server) as answering, connected(server) as asking:
        answering.answer(subjects.NPU_EMBED, Embed, embed, group="npu")
        await answering.start()
        holder, asker = (Holds(bus, "h", PenRole.RUNNER) for bus in (answering, asking))
        await holder.start()
        for _ in range(2):
            await restart(server, answering, asking)
            reply = await asking.request(subjects.NPU_EMBED, Embed(texts=("a",)), Embeddings)
            assert reply.dimensions == 1
            with holder.hold("turn"), asker.hold("turn"):
                assert await asker.is_held_by_another("turn")
        await answering.stop_answering()


async def test_jobs_are_fetched_again_and_none_is_lost(server: Server) -> None:
    queue = llm_jobs(f"pool-{uuid4().hex}")
    done: set[bytes] = set()

    async def note(job: QueuedJob) -> JobOutcome:
        done.add(job.data)
        return JobOutcome.DONE

    async with connected(server) as bus, asyncio.TaskGroup() as tasks:
        await bus.start()
        loop = WorkLoop(bus, queue, note, slots=4)
        working = tasks.create_task(loop.run())
        for round_number in range(3):
            for number in range(5):
                await bus.store(queue.subject, b"%d-%d" % (round_number, number))
            expected = 5 * (round_number + 1)
            if round_number < 2:
                await restart(server, bus)
            await until(lambda expected=expected: len(done) == expected)
        loop.stop_intake()
        async with asyncio.timeout(WAIT_S):
            await working


async def write_across_two_deaths(writer: TurnWriter, server: Server, are_back: Callable[[], bool]) -> str:
    text = ""
    for number in range(200):
        if number in (60, 140):
            server.kill()
        piece = f"{number} "
        text += piece
        await writer.append(partial(delta, text=piece))
        await asyncio.sleep(0)
        if number in (100, 180):
            await asyncio.to_thread(server.start)
            await until(are_back)
    await writer.settle(WAIT_S)
    return text


async def test_a_turn_written_across_the_death_of_the_server_is_whole(server: Server) -> None:
    turn_id, seen = uuid4().hex, list[int]()
    async with connected(server) as writing, connected(server) as reading:
        writers, watches = TurnWriters(writing), TurnWatches(reading, HOME)
        await writers.start()
        await watches.start()
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(writers.run()), tasks.create_task(watches.run())]
            watches.open_new(turn_id, lambda _, seq: seen.append(seq))
            async with writers.open(subjects.turn_events(HOME, turn_id), 1) as writer:
                await writer.append(opening)
                text = await write_across_two_deaths(
                    writer, server, lambda: writing.is_connected and reading.is_connected
                )
            await until(lambda: len(seen) == 201)
            for task in running:
                task.cancel()
        assert seen == list(range(1_000_000, 1_000_201))
        assert (await read_turn_log(reading, HOME, turn_id)).text == text


async def test_closing_while_the_server_is_away_does_not_hang(server: Server) -> None:
    queue = llm_jobs(f"pool-{uuid4().hex}")

    async def note(_: QueuedJob) -> JobOutcome:
        return JobOutcome.DONE

    loop = asyncio.get_running_loop()
    async with connected(server) as bus:
        await bus.start()
        working = loop.create_task(WorkLoop(bus, queue, note, slots=2).run())
        await bus.store(queue.subject, b"job")
        server.kill()
        await until(lambda: not bus.is_connected)
        # As an acknowledgement that no server is there to hear.
        await bus.publish("unheard", b"")
        began_s = loop.time()
        working.cancel()
        await asyncio.wait([working])
        assert working.cancelled()
        await bus.stop_answering()
        await bus.close()
        assert loop.time() - began_s < 3


async def test_a_connection_that_the_server_ends_for_good_is_noticed(server: Server) -> None:
    async with connected(server) as bus:
        # As after an expired account or a violated limit: the client does not connect again.
        await bus.connection._process_err("'User Authentication Expired'")  # pyright: ignore - the private client is what the test ends
        async with asyncio.timeout(WAIT_S):
            await bus.closed()
        assert not bus.is_connected
