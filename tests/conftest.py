"""Real servers on free ports, shared by a test run, and buses connected to them."""

import asyncio
import contextlib
import gc
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from parley_accounts.tables import STORE as ACCOUNTS
from parley_messaging.bus import Bus
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.nats_bus import NatsBus
from parley_npu.fetch import fetch
from parley_npu.model_files import ModelFiles
from parley_storage import migrate, open_database
from sqlalchemy import URL

from tests.postgres import empty_database, running_postgres, server_folder
from tests.tested_databases import STACKS_SERVER, TestedOn, drop_repeats, store_params, tested_on
from tests.worker_groups import GroupScheduling, mix

# Started from a script in the background, this process ignores Ctrl+C, and so would all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long a drawn case takes says how busy the machine is.
settings.register_profile("untimed", settings.get_profile(settings.get_current_profile_name()), deadline=None)
settings.load_profile("untimed")

# All tests that were collected are looked through each time: that is worth it less often.
gc.set_threshold(20_000, 20, 20)

SERVER_START_S = 10.0
SERVER_PORTS = range(15_000, 32_000)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is tried often enough, and order the rest."""
    drop_repeats(config, items)
    mix(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling:
    """Give the workers of a parallel run what belongs together."""
    return GroupScheduling(config, log)


def free_port() -> int:
    """Return a port for a server, below those that the system gives to outgoing connections."""
    for port in random.sample(SERVER_PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


def wait_for_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline_s = time.monotonic() + SERVER_START_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise RuntimeError(f"server exited with code {process.returncode}")
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


def executable(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.fail(f"{name} is not installed; `make install` says how")
    return found


@pytest.fixture(scope="session")
def nats_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the nats-server of the tests keeps its files."""
    return tmp_path_factory.mktemp("nats")


@pytest.fixture(scope="session")
def nats_url(nats_store: Path) -> Generator[str]:
    """A real nats-server with JetStream on a free port."""
    port = free_port()
    command = [executable("nats-server"), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(nats_store)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        wait_for_port(port, server)
        yield f"nats://127.0.0.1:{port}"
        server.terminate()


@pytest.fixture(scope="session")
def postgres_url() -> Generator[str]:
    """A real PostgreSQL server on a free port."""
    programs = server_folder()
    if programs is None and tested_on() is TestedOn.POSTGRESQL:
        pytest.fail("PostgreSQL is not installed; `make install` says how")
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with running_postgres(programs, free_port()) as url:
        yield url


@pytest.fixture(scope="session", autouse=True)
def stacks_database_server(request: pytest.FixtureRequest) -> Generator[None]:
    """The server on which stacks keep their tables, where the run's setting is `postgresql`."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv(STACKS_SERVER, raising=False)
        if tested_on() is TestedOn.POSTGRESQL:
            environment.setenv(STACKS_SERVER, request.getfixturevalue("postgres_url"))
        yield


@pytest.fixture(params=store_params())
def database_url(request: pytest.FixtureRequest) -> Generator[str | None]:
    """The address of an empty database."""
    if request.param == "sqlite":
        yield None
        return
    with empty_database(request.getfixturevalue("postgres_url")) as url:
        yield url


async def _make_accounts_tables(url: URL) -> None:
    async with open_database(ACCOUNTS, url) as database:
        await migrate(database)


@pytest.fixture(scope="session")
def accounts_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the empty tables of accounts, to be copied: migrating takes longer than a test."""
    folder = tmp_path_factory.mktemp("accounts")
    asyncio.run(_make_accounts_tables(ACCOUNTS.url(None, folder)))
    return folder / "accounts.sqlite"


@pytest.fixture(scope="session")
def accounts_server(postgres_url: str) -> Generator[str]:
    """The address of a PostgreSQL database with the tables of accounts, to be emptied."""
    with empty_database(postgres_url) as address:
        asyncio.run(_make_accounts_tables(ACCOUNTS.url(address, Path())))
        yield address


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.nats)])
async def bus(request: pytest.FixtureRequest) -> AsyncGenerator[Bus]:
    """The memory bus and the NATS bus, not started: a test may add what it answers first."""
    made: Bus
    if request.param == "nats":
        url: str = request.getfixturevalue("nats_url")
        connected = NatsBus(url, name="test", grace_s=2)
        await connected.connect()
        made = connected
    else:
        made = MemoryBus()
    yield made
    await made.close()


@pytest.fixture
async def memory_bus() -> AsyncGenerator[MemoryBus]:
    """The memory bus alone, for what a test adds to it when it runs already."""
    made = MemoryBus()
    yield made
    await made.close()


@pytest.fixture(autouse=True)
def no_leaked_tasks(request: pytest.FixtureRequest) -> None:
    """Fail a test that leaves a task behind; one without a loop is given none for it."""
    if request.node.get_closest_marker("asyncio"):
        request.getfixturevalue("tasks_end")


@pytest.fixture
async def tasks_end() -> AsyncGenerator[None]:
    """Wait for the tasks that a test has started, and fail it when one does not end."""
    before = asyncio.all_tasks()
    yield
    async with asyncio.timeout(2):
        while left := {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}:
            await asyncio.wait(left, timeout=0.05)


def fetched_model() -> ModelFiles:
    """Return the real embedding model, fetched once a machine."""
    cache = os.environ.get("PARLEY_TEST_MODEL_DIR") or Path(tempfile.gettempdir(), "parley-test-models")
    files = ModelFiles(Path(cache, "all-minilm-l6-v2"))
    fetch(files)
    return files


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The directory of the real embedding model."""
    return fetched_model().directory
