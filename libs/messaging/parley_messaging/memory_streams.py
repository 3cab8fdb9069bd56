"""What the memory bus keeps: streams, their jobs, and how messages are taken out of them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from parley_messaging.bus import QueuedJob
from parley_messaging.message_headers import now_ms
from parley_messaging.queues import ACK_WAIT_S, WorkQueue
from parley_messaging.streams import matches


@dataclass(slots=True)
class Kept:
    """A message that a stream keeps."""

    stream_seq: int
    subject: str
    data: bytes
    headers: dict[str, str]
    deliveries: int = 0
    held_until_s: float = 0.0


@dataclass(slots=True)
class MemoryStream:
    """One stream, and how far each of its queues was delivered."""

    messages: list[Kept] = field(default_factory=list[Kept])
    last_seq: int = 0
    created_ms: int = field(default_factory=now_ms)
    max_messages: int | None = None
    last_delivered: dict[str, int] = field(default_factory=dict[str, int])
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class MemoryJob:
    """A message of a queue, for who has fetched it."""

    def __init__(self, stream: MemoryStream, stored: Kept):
        self._stream, self._stored = stream, stored
        self.deliveries, self.stream_seq = stored.deliveries, stored.stream_seq

    @property
    def subject(self) -> str:
        """Its subject."""
        return self._stored.subject

    @property
    def data(self) -> bytes:
        """Its payload."""
        return self._stored.data

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers."""
        return self._stored.headers

    async def ack(self) -> None:
        """Take the job out of its queue."""
        if self._stored in self._stream.messages:
            self._stream.messages.remove(self._stored)

    async def release(self, delay_s: float) -> None:
        """Give the job back; it is not delivered before `delay_s`."""
        self._stored.held_until_s = asyncio.get_running_loop().time() + delay_s

    async def in_progress(self) -> None:
        """Keep it from others."""
        self._stored.held_until_s = asyncio.get_running_loop().time() + ACK_WAIT_S


class MemoryJobs:
    """The jobs of one queue."""

    def __init__(self, stream: MemoryStream, queue: WorkQueue):
        self._stream, self._queue = stream, queue

    def _take(self) -> MemoryJob | None:
        now_s = asyncio.get_running_loop().time()
        for stored in self._stream.messages:
            if stored.held_until_s <= now_s and matches(self._queue.subject, stored.subject):
                stored.deliveries += 1
                delivered = self._stream.last_delivered
                earlier = delivered.get(self._queue.subject, 0)
                delivered[self._queue.subject] = max(earlier, stored.stream_seq)
                stored.held_until_s = now_s + ACK_WAIT_S
                return MemoryJob(self._stream, stored)
        return None

    def _wake_s(self, until_s: float) -> float:
        return min([until_s, *(stored.held_until_s for stored in self._stream.messages)])

    async def fetch(self, timeout_s: float) -> QueuedJob | None:
        """Return the next job, or None when none came in time."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        while (job := self._take()) is None and loop.time() < until_s:
            self._stream.changed.clear()
            try:
                async with asyncio.timeout_at(self._wake_s(until_s)):
                    await self._stream.changed.wait()
            except TimeoutError:
                continue
        return job

    async def close(self) -> None:
        """Nothing is open."""


class MemoryEraser:
    """Takes messages out; there are no files."""

    def __init__(self, streams: Mapping[str, MemoryStream]) -> None:
        self._streams = streams

    async def erase(self, stream: str, stream_seq: int) -> bool:
        """Remove a message."""
        messages = self._streams[stream].messages if stream in self._streams else []
        found = [stored for stored in messages if stored.stream_seq == stream_seq]
        for stored in found:
            messages.remove(stored)
        return bool(found)

    async def compact(self, queue_stream: str) -> None:
        """Do nothing."""
