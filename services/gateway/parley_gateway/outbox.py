"""What a socket has still to send: bounded, in order; a socket that lags too far is closed."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

WRITE_BYTES = 64 * 1024
"""What is written at once; more waits here, where it is bounded."""


class SlowSocketError(Exception):
    """More unsent bytes have piled up than a socket may have; the client can resume."""


class FrameWriter(Protocol):
    """A connection that takes text frames without awaiting."""

    on_writable: Callable[[], None]

    @property
    def can_write(self) -> bool:
        """Whether the client keeps up; `on_writable` is called when it does again."""
        ...

    def write_frames(self, frames: Iterable[bytes]) -> None:
        """Write text frames at once."""
        ...

    def abort(self) -> None:
        """Drop the connection with what is unsent."""
        ...


class Outbox:
    """Frames waiting for one socket. Full rule: past `max_bytes` the socket is closed with 1013.

    What came in one turn of the loop goes out in one write at its end.
    """

    def __init__(self, writer: FrameWriter, max_bytes: int) -> None:
        self._writer = writer
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._max_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._is_flushing = False
        self._overfull = asyncio.Event()
        writer.on_writable = self._flush

    def put(self, frame: bytes) -> None:
        """Add a frame; never blocks, for it is called from the bus."""
        self._bytes += len(frame)
        if self._bytes > self._max_bytes:
            self._refuse()
            return
        self._frames.append(frame)
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _refuse(self) -> None:
        """Take nothing more: after a frame that is left out, none may follow."""
        self._max_bytes = -1
        self._frames.clear()
        self._overfull.set()

    def relay(self, frame: bytes, _: int) -> None:
        """Add a turn event, unless it is the one that is meant for runners only."""
        # `{"seq":N,"type":"g...` is generation_finished, the only type with that letter.
        if frame[frame.index(b",", 7) + 9] != 103:  # ord("g")
            self.put(frame)

    @property
    def is_empty(self) -> bool:
        """Whether everything has been handed to the socket."""
        return not self._frames

    async def overflow(self) -> None:
        """Wait until more has piled up than a socket may have, and raise SlowSocketError."""
        await self._overfull.wait()
        raise SlowSocketError

    def _flush(self) -> None:
        """Write while the client keeps up; the writer calls again when it does."""
        frames, writer = self._frames, self._writer
        while frames and writer.can_write:
            if self._bytes <= WRITE_BYTES:
                writer.write_frames(frames)
                frames.clear()
                self._bytes = 0
            else:
                writer.write_frames(self._take())
        self._is_flushing = bool(frames)

    def _take(self) -> list[bytes]:
        taken, size = list[bytes](), 0
        while self._frames and size < WRITE_BYTES:
            taken.append(self._frames.popleft())
            size += len(taken[-1])
        self._bytes -= size
        return taken
