"""How many gateways run, by what each says of itself every few seconds."""

from parley_contracts.redis_rights import LIMIT_KEYS
from redis.asyncio import Redis

from parley_limits.redis_buckets import WITHIN_S, Script, within

GATEWAYS_KEY = f"{LIMIT_KEYS}gateways"
GONE_S = 15
"""A gateway that has said nothing for so long is gone."""

_ANNOUNCE = """
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', tonumber(time[1]) - tonumber(ARGV[2]))
return redis.call('ZCARD', KEYS[1])
"""


class RedisGatewayCount:
    """Counts them in Redis, by its clock: those of hosts differ."""

    def __init__(self, redis: Redis) -> None:
        self._announce = Script(redis, _ANNOUNCE)

    async def announce(self, name: str) -> int:
        """Say that the gateway of this name runs; return how many do. ParleyError when Redis is away."""
        async with within(WITHIN_S):
            return int(await self._announce.run([GATEWAYS_KEY], [name, GONE_S]))
