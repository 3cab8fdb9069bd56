"""A real redis-server on a free port, and buckets in it and in memory."""

import subprocess
from collections.abc import AsyncGenerator, Generator

import pytest
from parley_cli.bus_secrets import BusSecrets
from parley_cli.supervisor.brokers import redis_argv
from parley_limits import (
    Buckets,
    MemoryBuckets,
    RedisBuckets,
    gateway_count,
    open_limits,
    redis_buckets,
    redis_ledger,
)

from tests.conftest import free_port, wait_for_port


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine Redis takes longer than a request would wait for it."""
    for module in (redis_buckets, redis_ledger, gateway_count):
        monkeypatch.setattr(module, "WITHIN_S", 10.0)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """A real redis-server on a free port, as `parley up` runs it."""
    port = free_port()
    argv = redis_argv(tmp_path_factory.mktemp("redis"), port)
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as server:
        wait_for_port(port, server)
        yield f"redis://127.0.0.1:{port}"
        server.terminate()


@pytest.fixture(scope="session")
def locked_redis_url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The same with its users, as the gateway's."""
    port, folder = free_port(), tmp_path_factory.mktemp("locked-redis")
    users = BusSecrets(folder / "secrets")
    users.create()
    with subprocess.Popen(redis_argv(folder, port, users), stdout=subprocess.DEVNULL) as server:
        wait_for_port(port, server)
        yield f"redis://gateway:{users.redis_password('gateway')}@127.0.0.1:{port}"
        server.terminate()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def buckets(request: pytest.FixtureRequest) -> AsyncGenerator[Buckets]:
    """Empty buckets of both kinds."""
    if request.param == "memory":
        yield MemoryBuckets()
        return
    url: str = request.getfixturevalue("redis_url")
    async with open_limits(url, None) as redis:
        await redis.flushdb()  # pyright: ignore[reportUnknownMemberType] - its **kwargs have no type
        yield RedisBuckets(redis)


@pytest.fixture
def unused_port() -> int:
    """A port at which nothing listens."""
    return free_port()
