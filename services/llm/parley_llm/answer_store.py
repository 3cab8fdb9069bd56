"""Where sealed answers are kept: in Redis, each for a while, and to be found by their owner to be erased."""

# redis leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from parley_contracts.data_rights import VISITOR
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.redis_rights import ANSWER_KEYS
from parley_messaging.circuit import Circuit
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

GET_S = 0.05
"""A model's first word takes longer; a Redis that is slower saves nothing worth waiting for."""

PUT_S = 0.25
ERASE_S = 5.0
CONNECT_S = 1.0
MOST_ANSWERS = 2_000
"""Of one owner, or of all visitors of a bot; the oldest go first."""

SLACK_S = 60
"""How much longer an index knows of an answer than it is there."""

CACHE_DATABASE = 2
# A failure counts whether it was quick or slow: a refused connection costs an answer half a millisecond.
ANY_FAILURE = 0.0


def root_of(owner_id: str) -> str:
    """Return under which name an owner's answers are found: visitors of a bot are erased together."""
    if owner_id.startswith(VISITOR):
        bot_id = owner_id.removeprefix(VISITOR).partition("-")[0]
        return root_of_visitors(bot_id)
    return owner_id


def root_of_visitors(bot_id: str) -> str:
    """Return under which name the answers of all visitors of a bot are found."""
    return f"{VISITOR}{bot_id}"


class AnswerStore(Protocol):
    """Keeps bytes under a root and a name. What cannot be read or kept is missed by nobody."""

    async def get(self, root: str, name: str) -> bytes | None:
        """Return what is kept; None where there is nothing, or it cannot be read now."""
        ...

    async def put(self, root: str, name: str, value: bytes) -> bool:
        """Keep a value for the whole time to live; False where it cannot be kept now."""
        ...

    async def erase(self, root: str, limit: int) -> tuple[int, bool]:
        """Remove some values of a root; return how many there were, and whether nothing is left.

        Raises:
            ParleyError: `unavailable` when it cannot be known.
        """
        ...


class MemoryAnswers:
    """A store of one process."""

    def __init__(self, ttl_s: int, *, clock: Callable[[], float] = time.time) -> None:
        self._ttl_s = ttl_s
        self._clock = clock
        self._roots: dict[str, OrderedDict[str, tuple[float, bytes]]] = {}

    async def get(self, root: str, name: str) -> bytes | None:
        found = self._roots.get(root, OrderedDict()).get(name)
        return found[1] if found is not None and found[0] > self._clock() else None

    async def put(self, root: str, name: str, value: bytes) -> bool:
        kept = self._roots.setdefault(root, OrderedDict())
        kept[name] = (self._clock() + self._ttl_s, value)
        kept.move_to_end(name)
        while len(kept) > MOST_ANSWERS:
            kept.popitem(last=False)
        return True

    async def erase(self, root: str, limit: int) -> tuple[int, bool]:
        kept = self._roots.get(root, OrderedDict())
        count = min(limit, len(kept))
        for _ in range(count):
            kept.popitem(last=False)
        return count, not kept


class RedisAnswers:
    """Each answer is a string that expires; a sorted set for each root knows the names of its answers.

    Should Redis have dropped that for want of room, what it named is gone with its time to live.
    """

    def __init__(self, redis: Redis, ttl_s: int, *, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._ttl_s = ttl_s
        self._clock = clock
        self._circuit = Circuit("answer-cache")

    async def get(self, root: str, name: str) -> bytes | None:
        try:
            async with self._within(GET_S):
                found = await self._redis.get(_key(root, name))
        except ParleyError:
            return None
        return found if isinstance(found, bytes) else None

    async def put(self, root: str, name: str, value: bytes) -> bool:
        index, now_s = _index(root), self._clock()
        try:
            async with self._within(PUT_S):
                async with self._redis.pipeline(transaction=True) as pipeline:
                    pipeline.zadd(index, {name: now_s + self._ttl_s + SLACK_S})
                    pipeline.set(_key(root, name), value, ex=self._ttl_s)
                    pipeline.expire(index, self._ttl_s + SLACK_S)
                    pipeline.zremrangebyscore(index, 0, now_s)
                    pipeline.zrange(index, 0, -MOST_ANSWERS - 1)
                    *_, oldest = await pipeline.execute()
                if oldest:
                    await self._remove(root, oldest)
        except ParleyError:
            return False
        return True

    async def erase(self, root: str, limit: int) -> tuple[int, bool]:
        async with self._within(ERASE_S):
            found = await self._redis.zrange(_index(root), 0, limit - 1)
            names = [name for name in found if isinstance(name, bytes)]
            return (await self._remove(root, names) if names else 0), len(names) < limit

    async def _remove(self, root: str, names: list[bytes]) -> int:
        """Remove values before their names: what is still there is never unknown."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.delete(*(_key(root, name.decode()) for name in names))
            pipeline.zrem(_index(root), *names)
            removed, _ = await pipeline.execute()
        return int(removed)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    @asynccontextmanager
    async def _within(self, limit_s: float) -> AsyncGenerator[None]:
        """Judge Redis by the body: ParleyError when anything goes wrong, and at once while it is away."""
        with self._circuit.passing(ANY_FAILURE):
            try:
                async with asyncio.timeout(limit_s):
                    yield
            except Exception as error:  # the boundary to a library: what is no Redis makes it raise anything
                raise ParleyError(ErrorCode.UNAVAILABLE, f"Redis: {type(error).__name__}") from error


def _index(root: str) -> str:
    return f"{ANSWER_KEYS}{root}"


def _key(root: str, name: str) -> str:
    return f"{ANSWER_KEYS}{root}:{name}"


def answers_client(url: str, *, names_database: bool) -> Redis:
    """Return the Redis that answers are kept in; one for all purposes has a database for each."""
    # More answers may begin at once than there are connections: they wait for one.
    pool = BlockingConnectionPool.from_url(
        url,
        socket_connect_timeout=CONNECT_S,
        retry=Retry(NoBackoff(), 0),
        max_connections=8,
        timeout=ERASE_S,
    )
    redis = Redis.from_pool(pool)
    if not names_database:
        # An address names its database in one of several ways; this is where each of them ends.
        redis.connection_pool.connection_kwargs["db"] = CACHE_DATABASE
    return redis
