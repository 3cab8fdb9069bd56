# pyright: reportUnknownMemberType=false
# Reason: the **kwargs of the Redis client have no type.
"""Vectors that were computed before: from memory, from a real Redis, and without one."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from parley_contracts.npu import VectorSpace
from parley_npu import redis_values
from parley_npu.cache import REMEMBERED_HERE, VectorCache
from parley_npu.metrics import CacheMetrics
from parley_npu.redis_values import RedisValues
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.conftest import free_port
from tests.fakes.embedding import HashEmbedder
from tests.integration.waiting import eventually

DAY_S = 86_400
FAKE = HashEmbedder()
TEXTS = FAKE.cut(["a cat sleeps", "", "\0", "Grüße, 東京"])
VECTORS = FAKE.infer(TEXTS)


@asynccontextmanager
async def cache_at(
    url: str, *, space: VectorSpace = FAKE.space, registry: CollectorRegistry | None = None
) -> AsyncGenerator[VectorCache]:
    redis = Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=1)
    values = RedisValues(redis, 30 * DAY_S)
    async with VectorCache(space, values, CacheMetrics(registry or CollectorRegistry())).running() as cache:
        yield cache


async def found_at(url: str, *, space: VectorSpace = FAKE.space) -> dict[int, list[float]]:
    """Return what a process that has just started finds, once it is connected."""
    found: dict[int, list[float]] = {}
    async with cache_at(url, space=space) as cache:

        async def is_connected() -> bool:
            vectors = await cache.look_up(TEXTS)
            found.update({row: vector.tolist() for row, vector in vectors.items()})
            return bool(found)

        try:
            await eventually(is_connected, within_s=1)
        except TimeoutError:
            return {}
    return found


async def counted(registry: CollectorRegistry, found: str) -> float:
    return registry.get_sample_value("parley_npu_cache_texts_total", {"found": found}) or 0


@pytest.mark.redis
async def test_what_one_process_has_computed_another_finds_exactly(redis_url: str) -> None:
    async with cache_at(redis_url) as cache:
        assert await cache.look_up(TEXTS) == {}
        cache.keep(TEXTS, VECTORS)

    found = await found_at(redis_url)
    assert found == {row: vector.tolist() for row, vector in enumerate(VECTORS)}


@pytest.mark.redis
async def test_a_value_is_the_bare_vector_under_its_space_and_text_and_goes_after_thirty_days(
    redis_url: str,
) -> None:
    async with cache_at(redis_url) as cache:
        cache.keep(TEXTS[:1], VECTORS[:1])
    async with Redis.from_url(redis_url) as redis:
        (key,) = await redis.keys("*")
        value, expiry_s = await redis.get(key), await redis.ttl(key)

    assert isinstance(key, bytes)
    assert key.startswith(b"emb:hashed-words:hashed-words:")
    assert isinstance(value, bytes)
    assert value == VECTORS[0].astype("<f4").tobytes()
    assert len(value) == 1536
    assert 29 * DAY_S < expiry_s <= 30 * DAY_S


@pytest.mark.redis
async def test_another_space_or_model_shares_nothing(redis_url: str) -> None:
    async with cache_at(redis_url) as cache:
        cache.keep(TEXTS, VECTORS)

    assert await found_at(redis_url, space=VectorSpace("hashed-words", "int8", 384)) == {}
    assert await found_at(redis_url, space=VectorSpace("another", "hashed-words", 384)) == {}


@pytest.mark.redis
@pytest.mark.parametrize("value", [b"", b"short", b"\xff" * 1536, b"\0" * 1536, b"\0" * 1540])
async def test_what_is_no_vector_is_not_used(redis_url: str, value: bytes) -> None:
    async with cache_at(redis_url) as cache:
        cache.keep(TEXTS, VECTORS)
    async with Redis.from_url(redis_url) as redis:
        keys = await redis.keys("*")
        for key in keys[1:]:
            await redis.set(key, value)

    assert len(await found_at(redis_url)) == 1


@pytest.mark.redis
async def test_hits_and_misses_are_counted(redis_url: str) -> None:
    first, second = CollectorRegistry(), CollectorRegistry()
    async with cache_at(redis_url, registry=first) as cache:
        await cache.look_up(TEXTS)
        cache.keep(TEXTS, VECTORS)
        await cache.look_up(TEXTS)
    async with cache_at(redis_url, registry=second) as cache:

        async def is_found() -> bool:
            return len(await cache.look_up(TEXTS[:2])) == 2

        await eventually(is_found, within_s=5)

    assert (await counted(first, "miss"), await counted(first, "memory")) == (4, 4)
    assert await counted(second, "redis") == 2


@pytest.mark.redis
async def test_many_who_ask_at_once_share_few_questions(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions: list[int] = []
    mget: Callable[..., object] = Redis.mget

    def counting(self: Redis, keys: list[bytes]) -> object:
        questions.append(len(keys))
        return mget(self, keys)

    async with cache_at(redis_url) as cache:
        cache.keep(TEXTS, VECTORS)
        await eventually(lambda: _is_there(redis_url, len(TEXTS)), within_s=5)
    monkeypatch.setattr(Redis, "mget", counting)
    async with cache_at(redis_url) as cache:
        await eventually(lambda: _has_answered(cache), within_s=5)
        questions.clear()
        many = [FAKE.cut([f"text {n}"]) for n in range(64)]
        await asyncio.gather(*(cache.look_up(texts) for texts in many))

    assert sum(questions) == 64
    assert len(questions) <= 2


async def _is_there(url: str, count: int) -> bool:
    async with Redis.from_url(url) as redis:
        return await redis.dbsize() == count


async def _has_answered(cache: VectorCache) -> bool:
    return len(await cache.look_up(TEXTS)) == len(TEXTS)


async def test_without_redis_the_process_remembers_for_itself() -> None:
    async with cache_at(f"redis://127.0.0.1:{free_port()}") as cache:
        assert await cache.look_up(TEXTS) == {}
        cache.keep(TEXTS, VECTORS)
        found = await cache.look_up(TEXTS)

    np.testing.assert_array_equal(np.vstack([found[row] for row in range(len(TEXTS))]), VECTORS)


async def test_a_redis_that_is_silent_costs_little_and_is_then_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connections = 0

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writers.append(writer)

    monkeypatch.setattr(redis_values, "SET_S", 0.05)
    writers: list[asyncio.StreamWriter] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = await asyncio.start_server(silent, sock=listener)
        async with cache_at(f"redis://127.0.0.1:{listener.getsockname()[1]}") as cache:
            async with asyncio.timeout(5):
                for number in range(50):
                    assert await cache.look_up(FAKE.cut([f"text {number}"])) == {}
        for writer in writers:
            writer.close()
        server.close()

    assert 0 < connections <= 8, "after five vain waits nobody asks until a cool-down is over"


ONE_OF_FOUR = b"*1\r\n$1536\r\n" + VECTORS[1].astype("<f4").tobytes() + b"\r\n"


@pytest.mark.parametrize("answer", [b"$no number\r\n", ONE_OF_FOUR, b":5\r\n", b"HTTP/1.1 400 Bad\r\n"])
async def test_a_server_that_is_no_redis_costs_what_is_remembered_and_nothing_else(answer: bytes) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while sent := await reader.read(1 << 16):
            greetings = sent.count(b"CLIENT") + sent.count(b"HELLO") + sent.count(b"SELECT")
            writer.write(b"+OK\r\n" * greetings or answer)
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}?protocol=2"
    async with server, asyncio.timeout(5), cache_at(url) as cache:
        assert await cache.look_up(TEXTS) == {}
        cache.keep(TEXTS, VECTORS)
        assert len(await cache.look_up(TEXTS)) == len(TEXTS)


async def test_only_the_latest_are_remembered_here() -> None:
    async with cache_at(f"redis://127.0.0.1:{free_port()}") as cache:
        first = FAKE.cut(["the first"])
        cache.keep(first, FAKE.infer(first))
        many = FAKE.cut([f"text {n}" for n in range(REMEMBERED_HERE)])
        cache.keep(many, FAKE.infer(many))

        assert await cache.look_up(first) == {}
        assert len(await cache.look_up(many[-10:])) == 10


@pytest.mark.redis
async def test_our_own_redis_makes_room_only_by_what_has_an_expiry(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        limits = await redis.config_get("maxmemory*")

    assert limits["maxmemory"] == str(256 << 20)
    assert limits["maxmemory-policy"] == "volatile-lru"
