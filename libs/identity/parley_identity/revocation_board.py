"""What is refused, in Redis: gateways see it there when an event was lost or the accounts service is away."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from typing import Any

from parley_contracts.credentials import Revocation
from parley_contracts.errors import ErrorCode, ParleyError
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

BOARD_DATABASE = 4
REVOKED_KEY = "rev:set"
VERSION_KEY = "rev:version"
WITHIN_S = 0.25
"""What takes longer is away: whoever asks has another way to learn of it."""


class RevocationBoard:
    """Revocations until they expire, and a version that is another one whenever some were added.

    Redis may be away, slow or wiped at any moment: each call then raises ParleyError `unavailable`, or finds
    another version and less than was there.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def post(self, revocations: Collection[Revocation], now_ms: int) -> None:
        """Add revocations, those that are there already too, and drop what has expired."""
        if not revocations:
            return
        texts: dict[str, float] = {one.model_dump_json(): one.expires_at_ms for one in revocations}
        async with _within(), self._redis.pipeline() as pipeline:
            pipeline.zadd(REVOKED_KEY, texts)
            pipeline.zremrangebyscore(REVOKED_KEY, "-inf", now_ms)
            # No count: after a wipe it would come to the same number again.
            pipeline.set(VERSION_KEY, secrets.token_hex(8))
            await pipeline.execute()

    async def version(self) -> bytes:
        """Return the version; empty when nothing was ever posted."""
        async with _within():
            found = await self._redis.get(VERSION_KEY)
            return found if isinstance(found, bytes) else b""

    async def read(self) -> tuple[Revocation, ...]:
        """Return everything that stands there."""
        async with _within():
            found: list[Any] = await self._redis.zrange(REVOKED_KEY, 0, -1)  # pyright: ignore[reportUnknownMemberType] - its options have no type
            try:
                return tuple(Revocation.model_validate_json(text) for text in found)
            except ValidationError as error:
                raise ParleyError(ErrorCode.UNAVAILABLE, "Redis: what stands there is not ours.") from error


@asynccontextmanager
async def _within() -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(WITHIN_S):
            yield
    except ParleyError:
        raise
    except Exception as error:  # the boundary to a library: what is no Redis makes it raise anything
        raise ParleyError(ErrorCode.UNAVAILABLE, f"Redis: {type(error).__name__}") from error


@asynccontextmanager
async def open_board(redis_url: str, own_url: str | None) -> AsyncGenerator[RevocationBoard]:
    """Yield a board: where `own_url` says, else in a database of the general server."""
    redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - its **kwargs have no type
        own_url or redis_url,
        socket_connect_timeout=WITHIN_S,
        retry=Retry(NoBackoff(), 0),
        max_connections=4,
    )
    if not own_url:
        # An address names its database in one of several ways; this is where each of them ends.
        redis.connection_pool.connection_kwargs["db"] = BOARD_DATABASE
    try:
        yield RevocationBoard(redis)
    finally:
        await redis.aclose()
