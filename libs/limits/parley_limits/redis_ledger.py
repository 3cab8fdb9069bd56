"""The ledger that all gateways share, in Redis. It may be lost at any moment: what is spent stands in SQL."""

import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from parley_contracts.errors import ParleyError
from parley_contracts.redis_rights import LIMIT_KEYS
from parley_contracts.usage import Amount, ScopeTotal, span_of
from redis.asyncio import Redis

from parley_limits.ledger_scripts import ADOPT, LOAD, RELEASE, RESERVE, SETTLE
from parley_limits.quotas import (
    KEPT_MS,
    REMEMBERED_MS,
    Claim,
    LedgerAwayError,
    OpenTurn,
    Outcome,
    Place,
    Reserved,
    numbers,
)
from parley_limits.rates import Take, judged
from parley_limits.redis_buckets import WITHIN_S, Script, bucket_keys, takes_as_words, within

GENERATION = f"{LIMIT_KEYS}q:generation"
"""Stands there from when open turns are known again until Redis is emptied."""


def _turn(turn_id: str) -> str:
    return f"{LIMIT_KEYS}q:turn:{turn_id}"


def _count(place: Place) -> str:
    return f"{LIMIT_KEYS}q:count:{place[0]}:{place[1]}"


def _open(place: Place) -> str:
    return f"{LIMIT_KEYS}q:open:{place[0]}:{place[1]}"


def _pairs(places: Sequence[Place]) -> list[str]:
    return [key for place in places for key in (_count(place), _open(place))]


def _kept_ms(place: Place) -> int:
    return KEPT_MS[span_of(place[1])]


def _words(amount: Amount) -> str:
    return " ".join(map(str, numbers(amount)))


class RedisLedger:
    """Each call is one script; of a turn there is never more than one reservation."""

    def __init__(self, redis: Redis) -> None:
        # Its client leaves most of what it answers untyped.
        self._redis: Any = redis
        self._reserve = Script(redis, RESERVE)
        self._adopt = Script(redis, ADOPT)
        self._load = Script(redis, LOAD)
        self._settle = Script(redis, SETTLE)
        self._release = Script(redis, RELEASE)

    async def reserve(self, takes: Sequence[Take], claim: Claim) -> Reserved:
        """Take from all buckets and reserve in all quotas, or neither; one round trip."""
        places = [quota.place for quota in claim.quotas]
        keys = [*bucket_keys(takes), GENERATION, _turn(claim.turn_id), *_pairs(places)]
        words: list[str | int] = [len(takes), *takes_as_words(takes)]
        words += [claim.turn_id, _words(claim.amount), claim.lasts_ms, REMEMBERED_MS]
        for quota in claim.quotas:
            words += [-1 if one is None else one for one in quota.most.limits]
            words.append(_kept_ms(quota.place))
        async with _away():
            code, waits, full, which = await self._reserve.run(keys, words)
            outcome = Outcome(int(code))
            if outcome is Outcome.REPEAT:
                return Reserved(outcome)
            verdict = judged(takes, [int(one) for one in waits], [int(one) for one in full])
            return Reserved(outcome, verdict, tuple(places[int(one) - 1] for one in which))

    async def adopt(self, turns: Sequence[OpenTurn]) -> None:
        """Know of these turns, beside those that it knows; their places are to be loaded anew."""
        for turn in turns:
            keys = [_turn(turn.turn_id), *_pairs(turn.places)]
            words: list[str | int] = [turn.turn_id, _words(turn.amount), turn.lasts_ms, REMEMBERED_MS]
            async with _away():
                await self._adopt.run(keys, [*words, *map(_kept_ms, turn.places)])

    async def prove(self) -> None:
        """Answer, and do nothing else."""
        async with _away():
            await self._redis.ping()

    async def begin(self, turns: Sequence[OpenTurn]) -> None:
        """Know of these turns, beside those that it knows; everything that was spent is to be loaded anew."""
        await self.adopt(turns)
        async with _away():
            await self._redis.set(GENERATION, secrets.token_hex(8))

    async def load(self, totals: Sequence[ScopeTotal]) -> None:
        """Know what was spent, unless something later is known."""
        for total in totals:
            place = (total.scope, total.period)
            async with _away():
                words = [*numbers(total.spent), total.version, _kept_ms(place)]
                await self._load.run([GENERATION, _count(place), _open(place)], words)

    async def settle(self, turn_id: str, totals: Sequence[ScopeTotal]) -> None:
        """End a turn's reservation; the totals are those behind it."""
        places = [(total.scope, total.period) for total in totals]
        words: list[str | int] = [turn_id, REMEMBERED_MS]
        for total, place in zip(totals, places, strict=True):
            words += [*numbers(total.spent), total.version, _kept_ms(place)]
        async with _away():
            await self._settle.run([_turn(turn_id), *_pairs(places)], words)

    async def release(self, claim: Claim) -> None:
        """End the reservation of a turn that never ran."""
        places = [quota.place for quota in claim.quotas]
        async with _away():
            await self._release.run([_turn(claim.turn_id), *_pairs(places)], [claim.turn_id])


@asynccontextmanager
async def _away() -> AsyncGenerator[None]:
    try:
        async with within(WITHIN_S):
            yield
    except ParleyError as error:
        raise LedgerAwayError(error.message) from error
