"""Quotas are exact: reserved once a turn, settled from SQL, and the same after everything was lost."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from parley_contracts.usage import Amount, ScopeTotal
from parley_limits import (
    Buckets,
    Claim,
    Ledger,
    LedgerAwayError,
    MemoryBuckets,
    MemoryLedger,
    Most,
    OpenTurn,
    Outcome,
    Quota,
    Rate,
    RedisBuckets,
    RedisLedger,
    Take,
    open_limits,
)
from parley_limits.memory_ledger import UNUSED_MS

DAY, MONTH = "2026-11-21", "2026-11"
ADA, BOT = ("user:ada", DAY), ("bot:b", DAY)
LASTS_MS = 60_000
ONE = Amount(turns=1)


class World:
    """A ledger, the buckets beside it, and what SQL would say was spent."""

    def __init__(self, ledger: Ledger, buckets: Buckets) -> None:
        self.ledger = ledger
        self.buckets = buckets
        self.spent: dict[tuple[str, str], ScopeTotal] = {}
        self.open: dict[str, OpenTurn] = {}

    def total(self, place: tuple[str, str]) -> ScopeTotal:
        nothing = ScopeTotal(scope=place[0], period=place[1], spent=Amount(), version=0)
        return self.spent.get(place, nothing)

    def record(self, turn_id: str, place: tuple[str, str], amount: Amount = ONE) -> ScopeTotal:
        """Count a turn as SQL does."""
        before = self.total(place)
        spent = Amount(
            turns=before.spent.turns + amount.turns,
            tokens=before.spent.tokens + amount.tokens,
            micros=before.spent.micros + amount.micros,
        )
        found = before.model_copy(update={"spent": spent, "version": before.version + 1})
        self.spent[place] = found
        self.open.pop(turn_id, None)
        return found

    async def ask(
        self,
        turn_id: str,
        *quotas: Quota,
        amount: Amount = ONE,
        takes: tuple[Take, ...] = (),
        lasts_ms: int = LASTS_MS,
    ) -> Outcome:
        """Claim as a gateway does: what is not known is told."""
        claim = Claim(turn_id, amount, quotas, lasts_ms)
        while True:
            found = await self.ledger.reserve(takes, claim)
            if found.outcome is Outcome.LOST:
                await self.ledger.begin(list(self.open.values()))
            elif found.outcome is Outcome.COLD:
                await self.ledger.load([self.total(place) for place in found.places])
            else:
                if found.outcome is Outcome.RESERVED:
                    places = tuple(quota.place for quota in quotas)
                    self.open[turn_id] = OpenTurn(turn_id, turn_id, amount, places, lasts_ms)
                return found.outcome

    async def settle(self, turn_id: str, *places: tuple[str, str], amount: Amount = ONE) -> None:
        await self.ledger.settle(turn_id, [self.record(turn_id, place, amount) for place in places])


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def world(request: pytest.FixtureRequest) -> AsyncGenerator[World]:
    if request.param == "memory":
        buckets = MemoryBuckets()
        yield World(MemoryLedger(buckets), buckets)
        return
    async with open_limits(request.getfixturevalue("redis_url"), None) as redis:
        await redis.flushdb()  # pyright: ignore[reportUnknownMemberType] - its **kwargs have no type
        yield World(RedisLedger(redis), RedisBuckets(redis))


def quota(place: tuple[str, str] = ADA, **most: int) -> Quota:
    return Quota(*place, Most(**most))


async def reserved(world: World, *quotas: Quota, count: int, amount: Amount = ONE, of: str = "t") -> int:
    """Return how many of so many turns at once may be."""
    asking = (world.ask(f"{of}{number}", *quotas, amount=amount) for number in range(count))
    return (await asyncio.gather(*asking)).count(Outcome.RESERVED)


async def test_so_many_turns_are_reserved_as_may_be_and_no_more(world: World) -> None:
    assert await reserved(world, quota(turns=7), count=30) == 7
    assert await world.ask("another", quota(turns=7)) is Outcome.EXCEEDED
    assert await world.ask("another", quota(turns=8)) is Outcome.RESERVED


async def test_a_turn_that_asks_again_is_counted_once_whatever_has_become_of_it(world: World) -> None:
    assert await world.ask("t", quota(turns=2)) is Outcome.RESERVED
    assert [await world.ask("t", quota(turns=2)) for _ in range(5)] == [Outcome.REPEAT] * 5
    await world.settle("t", ADA)
    assert await world.ask("t", quota(turns=2)) is Outcome.REPEAT
    assert await reserved(world, quota(turns=2), count=5, of="u") == 1


async def test_all_of_a_turns_quotas_are_reserved_or_none(world: World) -> None:
    quotas = (quota(BOT, turns=2), quota(turns=10))
    assert await reserved(world, *quotas, count=6) == 2
    assert await reserved(world, quota(turns=10), count=20, of="u") == 8


async def test_what_was_reserved_is_settled_by_what_was_spent(world: World) -> None:
    thousand = quota(tokens=1000)
    assert await world.ask("t1", thousand, amount=Amount(turns=1, tokens=900)) is Outcome.RESERVED
    assert await world.ask("t2", thousand, amount=Amount(turns=1, tokens=200)) is Outcome.EXCEEDED
    await world.settle("t1", ADA, amount=Amount(turns=1, tokens=300))
    assert await world.ask("t2", thousand, amount=Amount(turns=1, tokens=700)) is Outcome.RESERVED
    assert await world.ask("t3", thousand, amount=Amount(turns=1, tokens=1)) is Outcome.EXCEEDED


async def test_money_is_a_quota_as_well(world: World) -> None:
    amount = Amount(turns=1, tokens=10, micros=400)
    assert await reserved(world, quota(micros=1000), count=5, amount=amount) == 2


async def test_settling_twice_or_with_an_older_sum_changes_nothing(world: World) -> None:
    assert await reserved(world, quota(turns=3), count=3) == 3
    older = world.record("t0", ADA)
    newer = world.record("t1", ADA)
    for totals in ([newer], [older], [newer]):
        for turn_id in ("t0", "t1"):
            await world.ledger.settle(turn_id, totals)
    assert await world.ask("more", quota(turns=3)) is Outcome.EXCEEDED
    assert await world.ask("more", quota(turns=4)) is Outcome.RESERVED


async def test_a_turn_that_never_ran_gives_back_what_it_reserved(world: World) -> None:
    assert await world.ask("t0", quota(turns=1)) is Outcome.RESERVED
    assert await reserved(world, quota(turns=1), count=3, of="u") == 0
    claim = Claim("t0", ONE, (quota(turns=1),), LASTS_MS)
    for _ in range(2):
        await world.ledger.release(claim)
    assert await world.ask("t0", quota(turns=1)) is Outcome.RESERVED
    await world.settle("t0", ADA)
    await world.ledger.release(claim)
    assert await world.ask("v", quota(turns=1)) is Outcome.EXCEEDED
    assert await world.ask("t0", quota(turns=2)) is Outcome.RESERVED


async def test_a_reservation_that_nobody_ends_is_looked_up_when_its_turn_is_over(world: World) -> None:
    assert await world.ask("lost", quota(turns=2), lasts_ms=50) is Outcome.RESERVED
    # It has run, and was counted; that it was is told to nobody.
    world.record("lost", ADA)
    async with asyncio.timeout(5):
        while (
            await world.ledger.reserve((), Claim("u", ONE, (quota(turns=2),), LASTS_MS))
        ).outcome is Outcome.RESERVED:
            await world.ledger.release(Claim("u", ONE, (quota(turns=2),), LASTS_MS))
            await asyncio.sleep(0.01)
    assert await reserved(world, quota(turns=2), count=5) == 1


async def test_a_refusal_by_a_bucket_reserves_nothing_and_one_by_a_quota_takes_nothing(world: World) -> None:
    takes = (Take("turns", "ada", Rate(3, 3600)),)
    for number in range(3):
        assert await world.ask(f"t{number}", quota(turns=5), takes=takes) is Outcome.RESERVED
    assert await world.ask("limited", quota(turns=5), takes=takes) is Outcome.LIMITED
    assert await reserved(world, quota(turns=5), count=9, of="u") == 2
    other = (Take("turns", "bo", Rate(1, 3600)),)
    assert await world.ask("exceeded", quota(turns=5), takes=other) is Outcome.EXCEEDED
    assert (await world.buckets.take(other)).refused_by is None


async def test_what_is_open_and_what_was_spent_is_the_same_when_everything_was_known_anew(
    world: World,
) -> None:
    assert await reserved(world, quota(turns=10), count=6) == 6
    for number in range(2):
        await world.settle(f"t{number}", ADA)
    for _ in range(2):
        await world.ledger.begin(list(world.open.values()))
    assert await reserved(world, quota(turns=10), count=20, of="u") == 4


async def test_what_is_limited_and_used_up_as_well_is_refused_for_its_quota(world: World) -> None:
    takes = (Take("turns", "ada", Rate(1, 3600)),)
    assert await world.ask("t", quota(turns=1), takes=takes) is Outcome.RESERVED
    assert await world.ask("u", quota(turns=1), takes=takes) is Outcome.EXCEEDED
    assert await world.ask("u", quota(turns=2), takes=takes) is Outcome.LIMITED


async def test_a_turn_that_was_let_in_elsewhere_is_known_and_other_places_stay_loaded(world: World) -> None:
    grace = ("user:grace", DAY)
    assert await world.ask("t", quota(turns=3)) is Outcome.RESERVED
    assert await world.ask("g", quota(grace, turns=9)) is Outcome.RESERVED
    for _ in range(2):
        await world.ledger.adopt([OpenTurn("elsewhere", "elsewhere", ONE, (ADA,), LASTS_MS)])
    unchanged = await world.ledger.reserve((), Claim("g2", ONE, (quota(grace, turns=9),), LASTS_MS))
    assert unchanged.outcome is Outcome.RESERVED
    cold = await world.ledger.reserve((), Claim("u", ONE, (quota(turns=3),), LASTS_MS))
    assert (cold.outcome, cold.places) == (Outcome.COLD, (ADA,))
    assert await reserved(world, quota(turns=3), count=5, of="u") == 1
    await world.settle("elsewhere", ADA)
    assert await reserved(world, quota(turns=3), count=5, of="v") == 0
    assert await reserved(world, quota(turns=4), count=5, of="w") == 1


async def test_a_ledger_that_begins_anew_keeps_what_is_open_and_has_what_was_spent_read(world: World) -> None:
    assert await world.ask("t", quota(turns=3)) is Outcome.RESERVED
    await world.ledger.prove()
    await world.ledger.begin([])
    cold = await world.ledger.reserve((), Claim("u", ONE, (quota(turns=3),), LASTS_MS))
    assert (cold.outcome, cold.places) == (Outcome.COLD, (ADA,))
    assert await reserved(world, quota(turns=3), count=5, of="u") == 2


async def test_a_process_forgets_the_counts_that_nobody_uses_and_keeps_what_is_open() -> None:
    now_ms = 0
    ledger = MemoryLedger(MemoryBuckets(), now_ms=lambda: now_ms)
    world = World(ledger, MemoryBuckets())
    assert await world.ask("open", quota(turns=1), lasts_ms=2 * UNUSED_MS) is Outcome.RESERVED
    for number in range(1000):
        now_ms += UNUSED_MS // 100
        await world.settle(f"t{number}", (f"user:{number}", DAY))
        assert len(ledger) <= 102
    # The open one is over by now as well.
    assert ADA not in ledger
    now_ms = 0
    world = World(MemoryLedger(MemoryBuckets(), now_ms=lambda: now_ms), MemoryBuckets())
    assert await world.ask("open", quota(turns=1), lasts_ms=2 * UNUSED_MS) is Outcome.RESERVED
    now_ms = UNUSED_MS + 1
    await world.settle("other", ("user:other", DAY))
    assert await world.ask("more", quota(turns=1)) is Outcome.EXCEEDED


@pytest.mark.redis
async def test_an_emptied_redis_counts_on_where_it_was(redis_url: str) -> None:
    async with open_limits(redis_url, None) as redis:
        await redis.flushdb()  # pyright: ignore[reportUnknownMemberType] - its **kwargs have no type
        world = World(RedisLedger(redis), RedisBuckets(redis))
        assert await reserved(world, quota(turns=10), count=6) == 6
        await world.settle("t0", ADA)
        await redis.flushdb()  # pyright: ignore[reportUnknownMemberType] - as above
        # One ends between: its sum may be told before it is asked for.
        await world.settle("t1", ADA)
        assert await reserved(world, quota(turns=10), count=20, of="u") == 4


async def test_a_sum_that_was_read_before_another_turn_ended_does_not_undo_it(world: World) -> None:
    await world.ledger.begin(())
    stale = world.total(ADA)
    await world.settle("t", ADA)
    await world.ledger.load([stale])
    assert await reserved(world, quota(turns=1), count=2) == 0


async def test_a_share_is_of_what_is_left_when_it_is_loaded() -> None:
    buckets = MemoryBuckets()
    world = World(MemoryLedger(buckets, share=lambda: 1 / 4), buckets)
    for number in range(20):
        world.record(f"before{number}", ADA)
    assert await reserved(world, quota(turns=100), count=60) == 20
    await world.settle("t0", ADA)
    assert await reserved(world, quota(turns=100), count=60, of="u") == 0


async def test_redis_that_is_away_is_told_apart(unused_port: int) -> None:
    async with open_limits(f"redis://127.0.0.1:{unused_port}", None) as redis:
        with pytest.raises(LedgerAwayError):
            await RedisLedger(redis).reserve((), Claim("t", ONE, (quota(turns=1),), LASTS_MS))


@pytest.mark.redis
async def test_the_gateways_user_of_redis_may_do_all_that_a_ledger_does(locked_redis_url: str) -> None:
    async with open_limits(locked_redis_url, None) as redis:
        world = World(RedisLedger(redis), RedisBuckets(redis))
        assert await reserved(world, quota(turns=2), quota(BOT, turns=9), count=4) == 2
        await world.settle("t0", ADA, BOT)
        await world.ledger.release(Claim("t1", ONE, (quota(turns=2),), LASTS_MS))
        await world.ledger.prove()
        await world.ledger.begin([OpenTurn("t9", "t9", ONE, (ADA,), LASTS_MS)])
        assert await world.ask("t9", quota(turns=2)) is Outcome.REPEAT
