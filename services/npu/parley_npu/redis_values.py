"""Values kept in Redis, asked for by everyone through one connection and within a few milliseconds."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from parley_contracts.errors import ErrorCode, ParleyError
from parley_messaging.circuit import Circuit
from redis.asyncio import Redis

GET_S = 0.005
GET_S_A_KEY = 0.0002
"""What takes longer costs more than it is likely to save: 256 vectors, seconds of work, may take 56 ms."""

SET_S = 1.0
KEYS_AT_ONCE = 256
# A failure counts whether it was quick or slow: a refused connection costs a request half a millisecond.
ANY_FAILURE = 0.0


@dataclass(frozen=True)
class _Asked:
    keys: Sequence[bytes]
    values: "asyncio.Future[Sequence[bytes | None]]"


class RedisValues:
    """Gets and sets values behind a circuit. Redis may be away, slow, full or wiped at any moment.

    What is asked for while an answer is under way is asked together by the next one. Not bounded itself: who
    asks is bounded at the door of the lanes.
    """

    def __init__(self, redis: Redis, ttl_s: int) -> None:
        self._redis = redis
        self._ttl_s = ttl_s
        self._circuit = Circuit("embedding-cache")
        self._waiting: deque[_Asked] = deque()
        self._arrived = asyncio.Event()
        self._is_open = False

    async def get(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Return the values in the order of the keys; nothing at all when Redis is away or late."""
        if not self._is_open:
            return ()
        asked = _Asked(keys, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        self._arrived.set()
        return await asked.values

    async def set(self, values: Mapping[bytes, bytes]) -> bool:
        """Set values, each for the whole time to live; False when Redis is away or late."""
        try:
            async with self._within(SET_S), self._redis.pipeline(transaction=False) as pipeline:
                pipeline.ping()  # pyright: ignore[reportUnknownMemberType] - its **kwargs have no type
                for key, value in values.items():
                    pipeline.set(key, value, ex=self._ttl_s)
                await pipeline.execute()
        except ParleyError:
            return False
        return True

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["RedisValues"]:
        """Serve within this context."""
        # A connection may take longer to open than a look-up waits; later ones are opened by writing.
        await self.set({})
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read())
                self._is_open = True
                try:
                    yield self
                finally:
                    self._is_open = False
                    reader.cancel()
        finally:
            while self._waiting:
                _answer(self._waiting.popleft(), ())
            await self._redis.aclose()

    async def _read(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                await self._get_together()

    async def _get_together(self) -> None:
        asked = [self._waiting.popleft()]
        count = len(asked[0].keys)
        while self._waiting and count + len(self._waiting[0].keys) <= KEYS_AT_ONCE:
            asked.append(self._waiting.popleft())
            count += len(asked[-1].keys)
        keys = [key for one in asked for key in one.keys]
        values: Sequence[bytes | None] = ()
        try:
            async with self._within(GET_S + GET_S_A_KEY * len(keys)):
                found = await self._redis.mget(keys)
                if len(found) == len(keys):
                    values = [value if isinstance(value, bytes) else None for value in found]
        except ParleyError:
            values = ()
        finally:
            start = 0
            for one in asked:
                _answer(one, values[start : start + len(one.keys)])
                start += len(one.keys)

    @asynccontextmanager
    async def _within(self, limit_s: float) -> AsyncGenerator[None]:
        """Judge Redis by the body: ParleyError when anything goes wrong, and at once while it is away."""
        with self._circuit.passing(ANY_FAILURE):
            try:
                async with asyncio.timeout(limit_s):
                    yield
            except Exception as error:  # the boundary to a library: what is no Redis makes it raise anything
                raise ParleyError(ErrorCode.UNAVAILABLE, f"Redis: {type(error).__name__}") from error


def _answer(asked: _Asked, values: Sequence[bytes | None]) -> None:
    if not asked.values.done():
        asked.values.set_result(values)
