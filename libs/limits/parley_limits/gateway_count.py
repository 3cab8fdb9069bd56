"""How many gateways run, by what each says of itself every few seconds."""

import time

from parley_contracts.redis_rights import LIMIT_KEYS
from redis.asyncio import Redis

from parley_limits.redis_buckets import WITHIN_S, within

GATEWAYS_KEY = f"{LIMIT_KEYS}gateways"
GONE_S = 15
"""A gateway that has said nothing for so long is gone."""


class RedisGatewayCount:
    """Counts them in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def announce(self, name: str) -> int:
        """Say that the gateway of this name runs; return how many do. ParleyError when Redis is away."""
        now_s = time.time()
        async with within(WITHIN_S), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zadd(GATEWAYS_KEY, {name: now_s})
            pipeline.zremrangebyscore(GATEWAYS_KEY, "-inf", now_s - GONE_S)
            pipeline.zcard(GATEWAYS_KEY)
            *_, count = await pipeline.execute()
            return int(count)
