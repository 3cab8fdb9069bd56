"""What the command's tests share: stand-in processes, free ports, a supervisor that is always stopped."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from parley_cli.supervisor.process_spec import ProcessSpec
from parley_cli.supervisor.readiness import http_probe
from parley_cli.supervisor.supervisor import Supervisor

from tests.conftest import free_port as find_free_port

STAND_IN = Path(__file__).with_name("stand_in.py")
SpecMaker = Callable[..., ProcessSpec]
Running = Callable[[Supervisor], AbstractAsyncContextManager[asyncio.Task[None]]]


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return a function that finds ports nothing listens on."""
    return find_free_port


class Journal:
    """What the stand-ins noted, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self, what: str) -> list[str]:
        """Return the names of those who noted `what`."""
        text = self.path.read_text() if self.path.exists() else ""
        return [line.split()[1] for line in text.splitlines() if line.split()[0] == what]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Return the journal that this test's stand-ins write."""
    return Journal(tmp_path / "journal")


@pytest.fixture
def spec(journal: Journal, free_port: Callable[[], int]) -> SpecMaker:
    """Return a function that makes a row whose process is a stand-in."""

    def make(name: str, *words: str, rank: int = 0, grace_s: float = 10.0) -> ProcessSpec:
        port = free_port()
        argv = (sys.executable, "-S", str(STAND_IN), "--port", str(port), "--name", name)
        return ProcessSpec(
            name=name,
            argv=(*argv, "--journal", str(journal.path), *words),
            probe=http_probe(port),
            port=port,
            stop_rank=rank,
            grace_s=grace_s,
            source=f"parley_{name}",
        )

    return make


class Told:
    """Collects what a supervisor says."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def __call__(self, text: str) -> None:
        self.sentences.append(text)


@pytest.fixture
def told() -> Told:
    """Return what the supervisor of this test says."""
    return Told()


@pytest.fixture
def supervisor_of(tmp_path: Path, told: Told) -> Callable[..., Supervisor]:
    """Return a function that makes a supervisor of some tiers."""

    def make(*tiers: list[ProcessSpec], ready_timeout_s: float = 30.0) -> Supervisor:
        return Supervisor(
            tiers,
            environment=dict(os.environ),
            logs_dir=tmp_path / "logs",
            say=told,
            changed=lambda _: None,
            ready_timeout_s=ready_timeout_s,
        )

    return make


async def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait for a condition, with a bound."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the condition is another process's doing
            await asyncio.sleep(0.01)


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """Return a bounded wait for a condition."""
    return until


@pytest.fixture
def running() -> Running:
    """Return a context manager in which a supervisor runs and is ready; it is stopped at the end."""

    @asynccontextmanager
    async def run(supervisor: Supervisor) -> AsyncGenerator[asyncio.Task[None]]:
        ready = asyncio.Event()

        async def when_ready() -> None:
            ready.set()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(supervisor.run(when_ready))
            async with asyncio.timeout(30):
                await ready.wait()
            try:
                yield task
            finally:
                supervisor.ask_stop()

    return run
