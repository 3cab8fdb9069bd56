"""Both stores of remembered answers, and what an erasure takes."""

import asyncio
import subprocess
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass

import pytest
from parley_cli.bus_secrets import BusSecrets
from parley_cli.supervisor.brokers import redis_argv
from parley_contracts.data_rights import EraseUser, PlaceCount
from parley_contracts.errors import ErrorCode, ParleyError
from parley_llm import answer_store
from parley_llm.answer_store import AnswerStore, MemoryAnswers, RedisAnswers, answers_client, root_of
from parley_llm.erasure import PLACE, AnswerErasure
from redis.asyncio import Redis

from tests.conftest import free_port, wait_for_port

TTL_S = 100


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """A real redis-server with its users, as that of llm."""
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    users = BusSecrets(folder / "secrets")
    users.create()
    with subprocess.Popen(redis_argv(folder, port, users), stdout=subprocess.DEVNULL) as server:
        wait_for_port(port, server)
        yield f"redis://llm:{users.redis_password('llm')}@127.0.0.1:{port}"
        server.terminate()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine Redis takes longer than an answer would wait for it."""
    for name in ("GET_S", "PUT_S", "ERASE_S"):
        monkeypatch.setattr(answer_store, name, 10.0)


@dataclass
class Clock:
    now_s: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def store(request: pytest.FixtureRequest, clock: Clock) -> AsyncGenerator[AnswerStore]:
    if request.param == "memory":
        yield MemoryAnswers(TTL_S, clock=clock)
        return
    opened = RedisAnswers(
        answers_client(request.getfixturevalue("redis_url"), names_database=False), TTL_S, clock=clock
    )
    for root in ("o1", "o2", "visitor-b1", "visitor-b2"):
        await opened.erase(root, 10_000)
    yield opened
    await opened.close()


async def test_what_is_kept_is_found_by_its_root_and_name_alone(store: AnswerStore) -> None:
    assert await store.put("o1", "n1", b"sealed")
    assert await store.get("o1", "n1") == b"sealed"
    assert await store.get("o1", "n2") is None
    assert await store.get("o2", "n1") is None
    assert await store.put("o1", "n1", b"anew")
    assert await store.get("o1", "n1") == b"anew"


async def test_the_oldest_go_when_there_are_too_many(
    store: AnswerStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_store, "MOST_ANSWERS", 3)
    for number in range(5):
        clock.now_s += 1
        await store.put("o1", f"n{number}", b"sealed")
    assert [await store.get("o1", f"n{number}") is not None for number in range(5)] == [
        False,
        False,
        True,
        True,
        True,
    ]


async def test_an_erasure_takes_a_users_answers_and_those_of_his_bots_visitors_part_by_part(
    store: AnswerStore,
) -> None:
    for root, count in (("o1", 3), ("visitor-b1", 2), ("visitor-b2", 1), ("o2", 1)):
        for number in range(count):
            await store.put(root, f"n{number}", b"sealed")
    erasure, parts, removed = AnswerErasure(store), 0, 0
    while True:
        part = await erasure.erase(EraseUser(owner_id="o1", bot_ids=("b1",), limit=2))
        parts, removed = parts + 1, removed + sum(one.count for one in part.removed)
        assert {one.place for one in part.removed} <= {PLACE}
        if part.is_done:
            break
    assert removed == 5
    assert parts > 2
    assert [await store.get(root, "n0") for root in ("o1", "visitor-b1")] == [None, None]
    assert [await store.get(root, "n0") for root in ("visitor-b2", "o2")] == [b"sealed", b"sealed"]
    again = await erasure.erase(EraseUser(owner_id="o1", bot_ids=("b1",)))
    assert (again.removed, again.is_done) == ((), True)


def test_visitors_of_one_bot_stand_under_one_root_and_everybody_else_under_his_own() -> None:
    assert root_of("visitor-b1-abc") == root_of("visitor-b1-def-2") == "visitor-b1"
    assert root_of("u1") == "u1"


async def test_without_a_cache_there_is_nothing_to_erase() -> None:
    assert (await AnswerErasure(None).erase(EraseUser(owner_id="o1"))).is_done


async def test_a_memory_forgets_in_time(clock: Clock) -> None:
    store = MemoryAnswers(TTL_S, clock=clock)
    await store.put("o1", "n1", b"sealed")
    clock.now_s += TTL_S
    assert await store.get("o1", "n1") is None


@pytest.mark.redis
async def test_every_key_in_redis_expires_and_names_an_owner(redis_url: str) -> None:
    redis: Redis = answers_client(redis_url, names_database=False)
    store = RedisAnswers(redis, TTL_S)
    await store.put("o9", "n1", b"sealed")
    # The user of llm may not ask for times to live: it may set them.
    assert await redis.expire("ans:o9", 1)
    assert await redis.expire("ans:o9:n1", 1)
    assert await store.erase("o9", 10) == (1, True)
    await store.close()


async def test_a_redis_that_is_away_costs_an_answer_nothing_and_lets_no_erasure_pass(
    unused_tcp_port: int,
) -> None:
    store = RedisAnswers(answers_client(f"redis://127.0.0.1:{unused_tcp_port}", names_database=False), TTL_S)
    assert await store.get("o1", "n1") is None
    assert not await store.put("o1", "n1", b"sealed")
    with pytest.raises(ParleyError) as told:
        await AnswerErasure(store).erase(EraseUser(owner_id="o1"))
    assert told.value.code is ErrorCode.UNAVAILABLE
    await store.close()


def test_what_is_counted_names_the_place_of_the_registry() -> None:
    assert PlaceCount(place=PLACE, count=1).place == "ans:*"


async def test_as_many_answers_are_found_at_once_as_a_service_writes(store: AnswerStore) -> None:
    assert await store.put("owner", "name", b"sealed")
    found = await asyncio.gather(*(store.get("owner", "name") for _ in range(96)))
    assert found.count(b"sealed") == 96
