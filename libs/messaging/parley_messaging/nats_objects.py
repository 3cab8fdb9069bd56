"""Objects in a JetStream object store bucket."""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import BinaryIO

from nats import errors
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NoStreamResponseError, NotFoundError, ObjectNotFoundError, ServerError
from nats.js.errors import ServiceUnavailableError as JetStreamUnavailableError
from nats.js.object_store import ObjectStore as Bucket
from parley_contracts import stream_names
from parley_contracts.bus_permissions import BUCKET
from parley_contracts.errors import ErrorCode, ParleyError

from parley_messaging.bus import StoredObject
from parley_messaging.erasing import NatsEraser
from parley_messaging.nats_access import OPEN, BusAccess
from parley_messaging.nats_puts import put_or_clear_up
from parley_messaging.nats_streams import ensured_bucket

log = logging.getLogger("parley.messaging")

TRANSFER_S = 120.0
"""The longest one object may take as a whole, or one piece of it."""
LAG_S = 2.0
LOOK_S = 0.05

_AWAY = (
    TimeoutError,
    ConnectionError,
    errors.NoRespondersError,
    errors.NoServersError,
    errors.ConnectionClosedError,
    errors.ConnectionDrainingError,
    errors.ConnectionReconnectingError,
    errors.OutboundBufferLimitError,
    errors.StaleConnectionError,
    JetStreamUnavailableError,
    NoStreamResponseError,
    ServerError,
)


@asynccontextmanager
async def _away_told() -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(TRANSFER_S):
            yield
    except _AWAY as error:
        log.warning("object store is away", exc_info=True)
        raise ParleyError(ErrorCode.UNAVAILABLE, "The store for uploads is away.") from error


class NatsObjects:
    """The bucket of uploaded originals, opened on first use.

    Every method raises ParleyError `unavailable` when the store does not answer.
    """

    def __init__(self, js: JetStreamContext, replicas: int, access: BusAccess = OPEN) -> None:
        self._js = js
        self._replicas = replicas
        self._access = access
        self._bucket: Bucket | None = None

    def reopen(self) -> None:
        """Look for the bucket at its next use: the server may have come back without it."""
        self._bucket = None

    async def _open_bucket(self) -> Bucket:
        if self._bucket is None:
            if self._access.keeps_streams:
                self._bucket = await ensured_bucket(self._js, self._replicas)
            else:
                self._bucket = await self._js.object_store(stream_names.ORIGINALS)
        return self._bucket

    async def put(self, key: str, data: bytes | BinaryIO) -> None:
        """Keep `data` under `key`."""
        try:
            async with _away_told():
                await put_or_clear_up(self._js, await self._open_bucket(), key, data)
        except NotFoundError:
            # Whoever keeps the streams has yet to make the bucket.
            raise ParleyError(ErrorCode.UNAVAILABLE, "The store for uploads is away.") from None

    async def get(self, key: str) -> bytes:
        """Return what is kept under `key`."""
        stored = await self.open(key)
        async with _away_told():
            return b"".join([piece async for piece in stored.pieces()])

    async def open(self, key: str) -> StoredObject:
        """Return what is kept under `key`, to be read piece by piece."""
        try:
            async with _away_told():
                info = await (await self._open_bucket()).get_info(key)
        except (ObjectNotFoundError, NotFoundError):
            raise ParleyError(ErrorCode.NOT_FOUND, "There is no such object.") from None
        size = info.size or 0
        return StoredObject(size, lambda: self._pieces(f"$O.{stream_names.ORIGINALS}.C.{info.nuid}", size))

    async def _pieces(self, subject: str, size: int) -> AsyncGenerator[bytes]:
        """Yield the chunks of an object, each when it is asked for: nobody's slowness fills this process."""
        sequence, left = 1, size
        while left > 0:
            chunk = await self._chunk(subject, sequence)
            piece = chunk.data or b""
            sequence, left = (chunk.seq or 0) + 1, left - len(piece)
            yield piece
        if left:
            raise ParleyError(ErrorCode.INTERNAL, "A stored object has another size than it was put with.")

    async def _chunk(self, subject: str, sequence: int) -> RawStreamMsg:
        """Return the first chunk at or behind a place in the stream.

        A copy of the stream that lags may not have it yet; what its leader does not have is lost.
        """
        until_s = asyncio.get_running_loop().time() + LAG_S
        is_late = False
        while True:
            try:
                async with _away_told():
                    return await self._js.get_msg(
                        BUCKET, seq=sequence, subject=subject, direct=not is_late, next=True
                    )
            except NotFoundError:
                if is_late:
                    message = "A part of a stored object is lost."
                    raise ParleyError(ErrorCode.INTERNAL, message, retryable=False) from None
                is_late = asyncio.get_running_loop().time() >= until_s
            await asyncio.sleep(LOOK_S)

    async def fetch(self, key: str, into: BinaryIO) -> None:
        """Write what is kept under `key` into a file, in threads."""
        stored = await self.open(key)
        async with _away_told():
            async for piece in stored.pieces():
                await asyncio.to_thread(into.write, piece)

    async def delete(self, key: str) -> None:
        """Overwrite what is kept under `key` and forget it."""
        try:
            async with _away_told():
                bucket = await self._open_bucket()
                await self._overwrite(bucket, key)
                await bucket.delete(key)
        except (ObjectNotFoundError, NotFoundError):
            return

    async def _overwrite(self, bucket: Bucket, key: str) -> None:
        """Overwrite the chunks of an object: the purge that follows leaves their bytes in the files.

        Of one whose deletion was broken off there are fewer than it says.
        """
        info = await bucket.get_info(key)
        chunks, stream_seq = f"$O.{stream_names.ORIGINALS}.C.{info.nuid}", 1
        eraser = NatsEraser(lambda: self._js)
        for _ in range(info.chunks or 0):
            try:
                found = await self._js.get_msg(BUCKET, seq=stream_seq, subject=chunks, next=True)
            except NotFoundError:
                return
            stream_seq = (found.seq or stream_seq) + 1
            await eraser.erase(BUCKET, stream_seq - 1)
