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

from parley_limits.rates import Take, Verdict, judged

LIMITS_DATABASE = 6
WITHIN_S = 0.25
"""What takes longer is away: whoever asks has buckets of its own."""
CONNECTIONS = 16

TAKE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local before, after, waits, refused = {}, {}, {}, false
for i, key in ipairs(KEYS) do
  local window, token = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2])
  local cost, owed = tonumber(ARGV[4 * i - 1]), ARGV[4 * i] == '1'
  local full = tonumber(redis.call('GET', key) or '') or now
  before[i] = math.min(math.max(0, full - now), window)
  after[i] = before[i] + cost * token
  waits[i] = 0
  if owed then
    after[i] = math.min(after[i], window)
  elseif after[i] > window then
    waits[i], refused = after[i] - window, true
  end
end
if refused then return {waits, before} end
for i, key in ipairs(KEYS) do
  if after[i] > 0 then
    redis.call('SET', key, string.format('%.0f', now + after[i]), 'PX', math.ceil(after[i] / 1000))
  end
end
return {waits, after}
"""
"""Keys are buckets; four arguments each: window and token in microseconds, cost, and 1 for what is owed.

Answers how long each bucket is to be waited for, and in what time each is full. A number in Lua is exact up
to 2^53, which is the year 2255 in microseconds.
"""

_SHA = hashlib.sha1(TAKE.encode(), usedforsecurity=False).hexdigest()


class RedisBuckets:
    """Redis may be away, slow or wiped at any moment: a wiped bucket is a full one."""

    def __init__(self, redis: Redis) -> None:
        # Its client leaves most of what it answers untyped.
        self._redis: Any = redis

    async def take(self, takes: Sequence[Take]) -> Verdict:
        """Take from all of these buckets, or from none, in one round trip."""
        if not takes:
            return Verdict()
        keys = [f"{LIMIT_KEYS}b:{take.name}:{take.key}" for take in takes]
        arguments = [
            number
            for take in takes
            for number in (take.rate.window_us, take.rate.token_us, take.cost, int(take.is_owed))
        ]
        async with within(WITHIN_S):
            waits, full = await self._run(keys, arguments)
            return judged(takes, [int(one) for one in waits], [int(one) for one in full])

    async def _run(self, keys: Sequence[str], arguments: Sequence[int]) -> Any:
        words: list[Any] = [len(keys), *keys, *arguments]
        send = self._redis.execute_command
        try:
            return await send("EVALSHA", _SHA, *words)
        except NoScriptError:
            return await send("EVAL", TAKE, *words)


@asynccontextmanager
async def within(limit_s: float) -> AsyncGenerator[None]:
    """Bound what the body asks of Redis; ParleyError `unavailable` when anything is wrong with it."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except ParleyError:
        raise
    except Exception as error:  # the boundary to a library: what is no Redis makes it raise anything
        raise ParleyError(ErrorCode.UNAVAILABLE, f"Redis: {type(error).__name__}") from error


@asynccontextmanager
async def open_limits(redis_url: str, own_url: str | None) -> AsyncGenerator[Redis]:
    """Yield a client of the limits' database: where `own_url` says, else one of the general server's."""
    pool = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] - its **kwargs have no type
        own_url or redis_url,
        socket_connect_timeout=WITHIN_S,
        retry=Retry(NoBackoff(), 0),
        max_connections=CONNECTIONS,
        timeout=WITHIN_S,
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
