"""Puts of objects that leave nothing behind when they are cut short: nats-py clears up after errors only."""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import asyncio
import copy
import logging
from io import BufferedIOBase
from typing import Any, BinaryIO, cast

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import PubAck
from nats.js.errors import NotFoundError, ObjectNotFoundError
from nats.js.object_store import ObjectStore as Bucket
from parley_contracts import stream_names
from parley_contracts.bus_permissions import BUCKET

log = logging.getLogger("parley.messaging")

CLEAR_UP_S = 5.0


class _NotingJetStream:
    """A JetStream that notes where the chunks of one put go: nats-py tells nobody before it is whole."""

    def __init__(self, js: JetStreamContext) -> None:
        self._js = js
        self.chunks = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._js, name)

    async def publish(self, subject: str, payload: bytes = b"", **more: Any) -> PubAck:
        """Publish as JetStream does."""
        if subject.startswith(f"$O.{stream_names.ORIGINALS}.C."):
            self.chunks = subject
        return await self._js.publish(subject, payload, **more)


async def put_or_clear_up(js: JetStreamContext, bucket: Bucket, key: str, data: bytes | BinaryIO) -> None:
    """Put an object; one whose put is cancelled is there whole, or nothing of it is."""
    noting, noted = _NotingJetStream(js), copy.copy(bucket)
    noted._js = cast("JetStreamContext", noting)  # pyright: ignore[reportPrivateUsage] - it goes by no other
    try:
        await noted.put(key, cast("bytes | BufferedIOBase", data))
    except asyncio.CancelledError:
        if noting.chunks:
            await _clear_up(js, bucket, key, noting.chunks)
        raise


async def _clear_up(js: JetStreamContext, bucket: Bucket, key: str, chunks: str) -> None:
    try:
        async with asyncio.timeout(CLEAR_UP_S):
            if not await _is_listed(bucket, key, chunks):
                await js.purge_stream(BUCKET, subject=chunks)
    except (TimeoutError, NatsError):
        log.warning("chunks of an object that was not put whole stay", exc_info=True)


async def _is_listed(bucket: Bucket, key: str, chunks: str) -> bool:
    """Return whether the put came to its end before it was cancelled."""
    try:
        info = await bucket.get_info(key)
    except (ObjectNotFoundError, NotFoundError):
        return False
    return chunks.endswith(f".{info.nuid}")
