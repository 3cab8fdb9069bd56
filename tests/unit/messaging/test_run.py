"""The life of a service, as a process of its own on a real nats-server."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from parley_contracts import subjects
from parley_contracts.npu import Embed, Embeddings
from parley_messaging import run
from parley_messaging.nats_bus import NatsBus

from tests.conftest import free_port
from tests.unit.messaging import echo_service

pytestmark = pytest.mark.nats

WAIT_S = 20.0


class Echo:
    """The service's process, and the lines of its log so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    @property
    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines]

    async def until(self, message: str) -> None:
        if self.process.stderr is None:
            raise RuntimeError("its log is not read")
        async with asyncio.timeout(WAIT_S):
            while message not in self.messages:
                line = await self.process.stderr.readline()
                assert line, self.lines
                self.lines.append(json.loads(line))

    async def ended(self) -> int:
        async with asyncio.timeout(WAIT_S):
            _, rest = await self.process.communicate()
        self.lines += [json.loads(line) for line in rest.splitlines()]
        return self.process.returncode or 0


@asynccontextmanager
async def echo(*arguments: str, **settings: object) -> AsyncGenerator[Echo]:
    environment = {**os.environ, **{name: str(value) for name, value in settings.items()}}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(echo_service.__file__), *arguments),
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Echo(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@contextmanager
def taken_port() -> Generator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.fixture
async def asker(nats_url: str) -> AsyncGenerator[NatsBus]:
    bus = NatsBus(nats_url, name="test", grace_s=2)
    await bus.connect()
    yield bus
    await bus.close()


async def ask(bus: NatsBus) -> Embeddings:
    return await bus.request(subjects.NPU_EMBED, Embed(texts=("a", "b")), Embeddings, timeout_s=5)


async def test_a_terminated_service_answers_what_has_arrived_and_ends_well(
    nats_url: str, asker: NatsBus
) -> None:
    async with echo(NATS_URL=nats_url, PARLEY_ECHO_S=0.5, PARLEY_GRACE_S=5) as service:
        await service.until("ready")
        asked = asyncio.create_task(ask(asker))
        # The request is sent in the task's first step; the answer to the flush says that it has arrived.
        await asyncio.sleep(0)
        await asker.connection.flush()
        service.process.terminate()
        began_s = time.monotonic()
        assert (await asked).dimensions == 2
        assert await service.ended() == 0
        assert time.monotonic() - began_s < 5
        assert service.messages == ["ready", "stopping", "stopped"]


async def test_a_failing_step_of_stopping_does_not_spoil_the_rest(nats_url: str) -> None:
    async with echo(NATS_URL=nats_url, PARLEY_ECHO_FAILS_AT_STOP=True) as service:
        await service.until("ready")
        service.process.terminate()
        assert await service.ended() == 0
        assert service.messages == ["ready", "stopping", "a step of stopping failed", "stopped"]


async def test_when_grace_is_over_the_service_ends_all_the_same(nats_url: str) -> None:
    async with echo(NATS_URL=nats_url, PARLEY_ECHO_HANGS_AT_STOP=True, PARLEY_GRACE_S=0.2) as service:
        await service.until("ready")
        service.process.terminate()
        assert await service.ended() == 0
        assert service.messages[-1] == "stopped"


async def test_a_second_signal_ends_the_service_at_once(nats_url: str) -> None:
    async with echo(NATS_URL=nats_url, PARLEY_ECHO_HANGS_AT_STOP=True, PARLEY_GRACE_S=60) as service:
        await service.until("ready")
        service.process.terminate()
        await service.until("stopping")
        service.process.send_signal(signal.SIGTERM)
        began_s = time.monotonic()
        assert await service.ended() == 1
        assert time.monotonic() - began_s < 2


async def test_a_check_names_the_setting_that_is_wrong() -> None:
    async with echo("--check", PARLEY_GRACE_S="soon", PARLEY_HEALTH_PORT=99_999) as service:
        _, said = await service.process.communicate()
        assert service.process.returncode == 2
    lines = said.decode().splitlines()
    assert len(lines) == 2
    assert any("health_port" in line for line in lines)
    assert any("grace_s" in line for line in lines)


async def test_a_check_of_good_settings_says_nothing() -> None:
    async with echo("--check") as service:
        _, said = await service.process.communicate()
        assert (service.process.returncode, said) == (0, b"")


async def test_without_a_bus_the_service_says_so_once_and_ends() -> None:
    nowhere = f"nats://user:secret@127.0.0.1:{free_port()}"
    async with echo(NATS_URL=nowhere, PARLEY_BUS_START_S=0.7) as service:
        assert await service.ended() == 1
        (line,) = service.lines
        assert (line["message"], line["level"]) == ("cannot run", "CRITICAL")
        assert "no bus answers" in line["reason"]
        assert "secret" not in str(line)
        assert "exception" not in line


async def test_with_a_port_that_is_taken_the_service_says_so_and_ends(nats_url: str) -> None:
    with taken_port() as port:
        async with echo(NATS_URL=nats_url, PARLEY_HEALTH_PORT=port) as service:
            assert await service.ended() == 1
            last = service.lines[-1]
            assert last["message"] == "cannot run"
            assert str(port) in last["reason"]
            assert "exception" not in last


async def test_a_signal_while_the_bus_is_waited_for_ends_the_service_at_once() -> None:
    nowhere = f"nats://127.0.0.1:{free_port()}"
    async with echo(NATS_URL=nowhere, PARLEY_BUS_START_S=60, PARLEY_LOG_LEVEL="DEBUG") as service:
        await service.until("bus is away")
        service.process.terminate()
        began_s = time.monotonic()
        assert await service.ended() == 0
        assert time.monotonic() - began_s < 3
        assert service.messages[-2:] == ["stopped while starting", "stopped"]


async def test_a_signal_while_a_service_is_composed_ends_it_at_once(nats_url: str) -> None:
    async with echo(NATS_URL=nats_url, PARLEY_ECHO_HANGS_AT_START=True) as service:
        await service.until("hanging")
        service.process.terminate()
        began_s = time.monotonic()
        assert await service.ended() == 0
        assert time.monotonic() - began_s < 3
        assert service.messages[-2:] == ["stopped while starting", "stopped"]


async def test_a_task_that_swallows_its_cancellation_is_cancelled_again() -> None:
    cancellations = 0

    async def endless() -> None:
        nonlocal cancellations
        while cancellations < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancellations += 1

    task = asyncio.create_task(endless())
    await asyncio.sleep(0)
    async with asyncio.timeout(WAIT_S):
        await run._cancel({task})  # pyright: ignore[reportPrivateUsage] - the last step of every service
    assert cancellations == 2
