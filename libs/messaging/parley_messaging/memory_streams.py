"""The streams of the bus that is inside one process."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from parley_messaging.erasing import QueueBounds
from parley_messaging.message_headers import now_ms


@dataclass(slots=True)
class KeptMessage:
    """A message of a stream, and how often it was delivered as a job."""

    stream_seq: int
    subject: str
    data: bytes
    headers: dict[str, str]
    deliveries: int = 0
    held_until_s: float = 0.0


@dataclass(slots=True)
class KeptStream:
    """A stream's messages, oldest first."""

    messages: list[KeptMessage] = field(default_factory=list[KeptMessage])
    last_seq: int = 0
    created_ms: int = field(default_factory=now_ms)
    max_messages: int | None = None
    last_delivered: dict[str, int] = field(default_factory=dict[str, int])
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def bounds(self) -> QueueBounds:
        """What is there of a work queue."""
        first_seq = self.messages[0].stream_seq if self.messages else self.last_seq + 1
        return QueueBounds(first_seq, self.last_seq)


class MemoryEraser:
    """Takes messages out; there are no files."""

    def __init__(self, streams: Mapping[str, KeptStream]) -> None:
        self._streams = streams

    async def erase(self, stream: str, stream_seq: int) -> bool:
        """Remove a message."""
        messages = self._streams[stream].messages if stream in self._streams else []
        found = [stored for stored in messages if stored.stream_seq == stream_seq]
        for stored in found:
            messages.remove(stored)
        return bool(found)

    async def compact(self, queue_stream: str) -> QueueBounds:
        """Tell what is there."""
        return self._streams[queue_stream].bounds if queue_stream in self._streams else QueueBounds(1, 0)
