"""Buckets that all gateways share, in Redis: all of one request by one script, on one clock."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.redis_rights import LIMIT_KEYS
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError

from parley_limits.ledger_scripts import TAKE
from parley_limits.rates import Take, Verdict, judged

LIMITS_DATABASE = 6
WITHIN_S = 0.25
"""What takes longer is away: whoever asks has buckets of its own."""
CONNECTIONS = 16
LATE_S = 0.05
"""Who looks at the clock so much too late was busy: the answer may lie there unread."""
MOST_PUT_OFF = 3


def takes_as_words(takes: Sequence[Take]) -> list[int]:
    """Return the arguments of buckets."""
    return [
        number
        for take in takes
        for number in (take.rate.window_us, take.rate.token_us, take.cost, int(take.is_owed))
    ]


def bucket_keys(takes: Sequence[Take]) -> list[str]:
    """Return the keys of buckets."""
    return [f"{LIMIT_KEYS}b:{take.name}:{take.key}" for take in takes]


class Script:
    """A script that Redis is told by its hash, and whole where it does not know it."""

    def __init__(self, redis: Redis, text: str) -> None:
        # Its client leaves most of what it answers untyped.
        self._redis: Any = redis
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, keys: Sequence[str], arguments: Sequence[str | int]) -> Any:
        """Return what it answers."""
        words: list[Any] = [len(keys), *keys, *arguments]
        try:
            return await self._redis.execute_command("EVALSHA", self._sha, *words)
        except NoScriptError:
            return await self._redis.execute_command("EVAL", self._text, *words)


class RedisBuckets:
    """Redis may be away, slow or wiped at any moment: a wiped bucket is a full one."""

    def __init__(self, redis: Redis) -> None:
        self._take = Script(redis, TAKE)

    async def take(self, takes: Sequence[Take]) -> Verdict:
        """Take from all of these buckets, or from none, in one round trip."""
        if not takes:
            return Verdict()
        async with within(WITHIN_S):
            waits, full = await self._take.run(bucket_keys(takes), takes_as_words(takes))
            return judged(takes, [int(one) for one in waits], [int(one) for one in full])


class _Patience:
    """Ends what takes longer than `limit_s`, not counting time in which this process looked at nothing."""

    def __init__(self, clock: asyncio.Timeout, limit_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._limit_s = limit_s
        self._left = MOST_PUT_OFF
        self._begin()

    def _begin(self) -> None:
        self._due_s = self._loop.time() + self._limit_s
        self._timer = self._loop.call_at(self._due_s, self._look)

    def _look(self) -> None:
        now_s = self._loop.time()
        if now_s - self._due_s > LATE_S and self._left:
            self._left -= 1
            self._begin()
        else:
            self._clock.reschedule(now_s)

    def end(self) -> None:
        """Look no more."""
        self._timer.cancel()


@asynccontextmanager
async def within(limit_s: float) -> AsyncGenerator[None]:
    """Bound what the body asks of Redis; ParleyError `unavailable` when anything is wrong with it."""
    try:
        async with asyncio.timeout(None) as clock:
            patience = _Patience(clock, limit_s)
            try:
                yield
            finally:
                patience.end()
    except ParleyError:
        raise
    except Exception as error:  # the boundary to a library: what is no Redis makes it raise anything
        raise ParleyError(ErrorCode.UNAVAILABLE, f"Redis: {type(error).__name__}") from error


@asynccontextmanager
async def open_limits(redis_url: str, own_url: str | None) -> AsyncGenerator[Redis]:
    """Yield a client of the limits' database: where `own_url` says, else one of the general server's."""
    pool = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] - its **kwargs have no type
        own_url or redis_url,
        # Whoever asks bounds the whole; these are for a process that was busy meanwhile.
        socket_connect_timeout=WITHIN_S * (1 + MOST_PUT_OFF),
        retry=Retry(NoBackoff(), 0),
        max_connections=CONNECTIONS,
        timeout=WITHIN_S * (1 + MOST_PUT_OFF),
    )
    if not own_url:
        # An address names its database in one of several ways; this is where each of them ends.
        pool.connection_kwargs["db"] = LIMITS_DATABASE
    redis = Redis(connection_pool=pool)
    try:
        yield redis
    finally:
        await redis.aclose()
        await pool.disconnect()
