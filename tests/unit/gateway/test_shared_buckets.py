"""Limits while Redis comes and goes: shared, or a share of them, and never open."""

import asyncio
from collections.abc import Sequence

from parley_contracts.errors import ErrorCode, ParleyError
from parley_gateway.shared_buckets import SharedBuckets
from parley_limits import MemoryBuckets, Rate, Take, Verdict
from parley_messaging.circuit import FAILURES, MAX_COOL_DOWN_S, Circuit

RATE = Rate(12, 3600)


class AwayError(ParleyError):
    def __init__(self) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, "Redis is away.")


class ScriptedRedis:
    """Buckets and a count that are away when a test says so."""

    def __init__(self, gateways: int = 3) -> None:
        self.is_away = False
        self.asked = 0
        self.gateways = gateways
        self.announced = asyncio.Event()
        self._buckets = MemoryBuckets()

    async def take(self, takes: Sequence[Take]) -> Verdict:
        self.asked += 1
        if self.is_away:
            raise AwayError
        return await self._buckets.take(takes)

    async def announce(self, name: str) -> int:
        self.announced.set()
        if self.is_away:
            raise AwayError
        return self.gateways


class MovedTime:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def allowed(buckets: SharedBuckets, key: str = "ada", times: int = 40) -> int:
    verdicts = [await buckets.take([Take("turns", key, RATE)]) for _ in range(times)]
    return sum(verdict.refused_by is None for verdict in verdicts)


def opened(redis: ScriptedRedis, clock: MovedTime | None = None) -> SharedBuckets:
    circuit = Circuit("limits", clock=clock or MovedTime())
    return SharedBuckets(redis, circuit, redis, name="gateway-1")


async def counted(buckets: SharedBuckets, redis: ScriptedRedis) -> None:
    """Have gateways counted once."""
    running = asyncio.create_task(buckets.run())
    async with asyncio.timeout(5):
        await redis.announced.wait()
    # What was announced is noted before the task waits for the next time.
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])


async def test_while_redis_answers_gateways_share_one_bucket() -> None:
    redis = ScriptedRedis()
    one, other = opened(redis), opened(redis)
    assert await allowed(one, times=5) == 5
    assert await allowed(other) == RATE.burst - 5


async def test_while_redis_is_away_each_gateway_gives_its_share() -> None:
    redis = ScriptedRedis(gateways=3)
    gateways = [opened(redis) for _ in range(3)]
    for gateway in gateways:
        await counted(gateway, redis)
    redis.is_away = True
    assert [await allowed(gateway) for gateway in gateways] == [4, 4, 4]
    assert gateways[0].fallbacks == 40


async def test_a_gateway_that_knows_of_no_other_gives_half() -> None:
    redis = ScriptedRedis()
    redis.is_away = True
    buckets = opened(redis)
    await counted(buckets, redis)
    assert await allowed(buckets) == RATE.burst // 2


async def test_the_last_count_of_gateways_stays_when_redis_goes() -> None:
    redis = ScriptedRedis(gateways=4)
    buckets = opened(redis)
    await counted(buckets, redis)
    redis.is_away = True
    redis.announced.clear()
    await counted(buckets, redis)
    assert await allowed(buckets) == 3


async def test_redis_is_asked_no_more_while_it_is_away_and_again_after_a_while() -> None:
    redis, clock = ScriptedRedis(gateways=1), MovedTime()
    buckets = opened(redis, clock)
    redis.is_away = True
    await allowed(buckets)
    assert redis.asked == FAILURES
    redis.is_away = False
    clock.now_s += MAX_COOL_DOWN_S
    assert await allowed(buckets) == RATE.burst
    assert redis.asked == FAILURES + 40


async def test_a_gateway_that_is_not_heard_of_for_a_moment_still_has_its_share() -> None:
    redis = ScriptedRedis(gateways=2)
    buckets = opened(redis)
    await counted(buckets, redis)
    redis.gateways = 1
    redis.announced.clear()
    await counted(buckets, redis)
    redis.is_away = True
    assert await allowed(buckets) == RATE.burst // 2
