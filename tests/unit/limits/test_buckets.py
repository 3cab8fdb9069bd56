"""Token buckets: what is had, what is refused and when it comes back; the same in Redis and in memory."""

import asyncio
import time

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_limits import (
    Buckets,
    MemoryBuckets,
    Rate,
    RedisBuckets,
    Take,
    open_limits,
    parse_rate,
    redis_buckets,
)
from parley_limits.gateway_count import RedisGatewayCount
from redis.asyncio import Redis
from redis.exceptions import ResponseError

SLOW = Rate(10, 3600)
"""A token comes back in six minutes: none does in a test."""


def take(key: str, rate: Rate = SLOW, *, name: str = "turns", cost: int = 1, is_owed: bool = False) -> Take:
    return Take(name, key, rate, cost, is_owed)


async def allowed(buckets: Buckets, *takes: Take, times: int) -> int:
    """Return how many of so many askings at once are let through."""
    verdicts = await asyncio.gather(*(buckets.take(takes) for _ in range(times)))
    return sum(verdict.refused_by is None for verdict in verdicts)


async def test_a_full_bucket_gives_all_that_it_holds_and_no_more(buckets: Buckets) -> None:
    assert await allowed(buckets, take("ada"), times=50) == SLOW.burst


async def test_buckets_of_others_and_of_other_kinds_are_others(buckets: Buckets) -> None:
    assert await allowed(buckets, take("ada"), times=20) == SLOW.burst
    assert await allowed(buckets, take("grace"), times=20) == SLOW.burst
    assert await allowed(buckets, take("ada", name="reads"), times=20) == SLOW.burst


async def test_all_buckets_are_taken_from_or_none(buckets: Buckets) -> None:
    small = take("ada", Rate(3, 3600), name="key")
    assert await allowed(buckets, take("ada"), small, times=20) == 3
    # What was refused by the small one has cost the other nothing.
    assert await allowed(buckets, take("ada"), times=20) == SLOW.burst - 3


async def test_a_refusal_names_the_limit_and_says_when_to_come_back(buckets: Buckets) -> None:
    await buckets.take([take("ada", cost=10)])
    verdict = await buckets.take([take("grace"), take("ada", cost=2)])
    assert verdict.refused_by == "turns"
    assert 719 <= verdict.retry_after_s <= 720
    assert [one.left for one in verdict.standings] == [10, 0]


async def test_what_is_left_and_when_the_bucket_is_full_is_told(buckets: Buckets) -> None:
    verdict = await buckets.take([take("ada", cost=4)])
    [standing] = verdict.standings
    assert (standing.name, standing.rate, standing.left) == ("turns", SLOW, 6)
    assert 1439 <= standing.full_s <= 1440


async def test_what_is_owed_is_never_refused_and_empties_the_bucket_at_most(buckets: Buckets) -> None:
    for _ in range(3):
        verdict = await buckets.take([take("ada", cost=7, is_owed=True)])
        assert verdict.refused_by is None
    refused = await buckets.take([take("ada")])
    # A bucket owes nothing: one token is there after one token's time.
    assert (refused.refused_by, refused.retry_after_s) == ("turns", 360)


async def test_tokens_come_back_at_their_rate(buckets: Buckets) -> None:
    rate = Rate(100, 1)
    assert (await buckets.take([take("ada", rate, cost=100)])).refused_by is None
    refused = await buckets.take([take("ada", rate, cost=5)])
    assert refused.refused_by == "turns"
    async with asyncio.timeout(5):
        while (await buckets.take([take("ada", rate, cost=5)])).refused_by:  # noqa: ASYNC110 - time tells nobody
            await asyncio.sleep(0.005)


async def test_no_take_is_no_question(buckets: Buckets) -> None:
    verdict = await buckets.take([])
    assert (verdict.refused_by, verdict.standings) == (None, ())


async def test_a_smaller_limit_holds_at_once(buckets: Buckets) -> None:
    await buckets.take([take("ada", Rate(1000, 3600), cost=500)])
    verdict = await buckets.take([take("ada", Rate(10, 60))])
    assert verdict.refused_by == "turns"
    assert verdict.retry_after_s <= 60


@pytest.mark.redis
async def test_processes_that_share_redis_share_buckets_also_after_its_scripts_are_gone(
    redis_url: str,
) -> None:
    async with open_limits(redis_url, None) as one, open_limits(redis_url, None) as other:
        await one.flushall()  # pyright: ignore[reportUnknownMemberType] - its **kwargs have no type
        first, second = RedisBuckets(one), RedisBuckets(other)
        counts = [await allowed(first, take("both"), times=6)]
        await one.script_flush("SYNC")
        counts.append(await allowed(second, take("both"), times=20))
        assert counts == [6, 4]


@pytest.mark.redis
async def test_buckets_that_are_full_again_leave_redis(redis_url: str) -> None:
    async with open_limits(redis_url, None) as redis:
        await RedisBuckets(redis).take([take("brief", Rate(10, 1))])
        left_ms = await redis.pttl("lim:b:turns:brief")
        assert 0 < left_ms <= 100


@pytest.mark.redis
@pytest.mark.parametrize("standing", ["no number", "9e18", "-5"], ids=["a word", "far ahead", "long ago"])
async def test_what_stands_in_redis_by_mistake_is_no_way_around_a_limit(
    redis_url: str, standing: str
) -> None:
    async with open_limits(redis_url, None) as redis:
        await redis.set("lim:b:turns:odd", standing)
        assert await allowed(RedisBuckets(redis), take("odd"), times=30) <= SLOW.burst


async def test_redis_that_is_away_cannot_tell(unused_port: int) -> None:
    async with open_limits(f"redis://127.0.0.1:{unused_port}", None) as redis:
        with pytest.raises(ParleyError) as told:
            await RedisBuckets(redis).take([take("ada")])
        assert told.value.code is ErrorCode.UNAVAILABLE


async def test_an_address_of_its_own_keeps_its_database() -> None:
    async with open_limits("redis://127.0.0.1:1/3", None) as general, open_limits("", "redis://h:1/3") as own:
        assert [_database(general), _database(own)] == [6, 3]


def _database(redis: Redis) -> int:
    return redis.connection_pool.connection_kwargs["db"]


async def test_a_share_of_a_limit_is_at_least_one_token() -> None:
    shared = MemoryBuckets(share=lambda: 1 / 4)
    assert await allowed(shared, take("ada"), times=20) == 2
    assert await allowed(shared, take("ada", Rate(2, 3600), name="key"), times=20) == 1


@pytest.mark.parametrize("text", ["", "60", "60/0", "0/60", "-1/60", "a/b", "60/60/60", "1.5/60"])
def test_what_is_no_rate_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        parse_rate(text)


def test_a_rate_is_tokens_in_seconds_and_zero_is_none() -> None:
    assert parse_rate(" 60/10 ") == Rate(60, 10)
    assert parse_rate("0") is None


@pytest.mark.redis
async def test_the_gateways_user_of_redis_may_do_all_of_it_and_nothing_to_other_keys(
    locked_redis_url: str,
) -> None:
    async with open_limits(locked_redis_url, None) as redis:
        assert await allowed(RedisBuckets(redis), take("ada"), times=20) == SLOW.burst
        count = RedisGatewayCount(redis)
        assert [await count.announce(name) for name in ("one", "two", "one")] == [1, 2, 2]
        for command in ("GET', 'emb:x", "FLUSHALL", "SET', 'rev:version', '1"):
            with pytest.raises(ResponseError, match="executing the script"):
                await redis.execute_command("EVAL", f"return redis.call('{command}')", 0)  # pyright: ignore[reportUnknownMemberType] - its options have no type


@pytest.mark.redis
async def test_a_gateway_whose_clock_is_wrong_is_counted_and_counts_the_others(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_limits(redis_url, None) as redis:
        await redis.flushdb()  # pyright: ignore[reportUnknownMemberType] - its **kwargs have no type
        count, now_s = RedisGatewayCount(redis), time.time()
        found: list[int] = []
        for name, wrong_s in (("right", 0), ("slow", -3600), ("right", 0), ("fast", 3600), ("right", 0)):
            monkeypatch.setattr(time, "time", lambda wrong_s=wrong_s: now_s + wrong_s)
            found.append(await count.announce(name))
        assert found == [1, 2, 2, 3, 3]


@pytest.mark.redis
async def test_redis_is_not_away_because_this_process_was_busy(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_buckets, "WITHIN_S", 0.1)
    async with open_limits(redis_url, None) as redis:
        buckets = RedisBuckets(redis)
        await buckets.take([take("busy")])
        asking = asyncio.ensure_future(buckets.take([take("busy")]))
        await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251 - so is who is busy
        assert (await asking).refused_by is None
