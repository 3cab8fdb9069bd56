"""What a socket has still to send: bounded, in order; a socket that lags too far is closed.

While a socket keeps up, its frames are passed on as they are. While it lags, the deltas of a turn that
wait become one frame, so that what waits is the text and little more.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol, cast

from parley_gateway.delta_merging import MergedDeltas, begin_merge, read_delta

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


class Lane:
    """One watch's place in an outbox: the frame that takes its next delta, if the socket lags."""

    __slots__ = ("merging",)

    def __init__(self) -> None:
        self.merging: MergedDeltas | None = None


class Outbox:
    """Frames waiting for one socket. Full rule: past `max_bytes` the socket is closed with 1013.

    What came in one turn of the loop goes out in one write at its end. Frames of one lane stay in order;
    a delta may pass frames of other lanes when it joins an earlier one of its own.
    """

    def __init__(self, writer: FrameWriter, max_bytes: int) -> None:
        self._writer = writer
        self._frames: deque[bytes | MergedDeltas] = deque()
        self._bytes = 0
        self._max_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._is_flushing = False
        self._is_lagging = False
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
        self._is_lagging = False
        self._overfull.set()

    def relay(self, frame: bytes, lane: Lane) -> None:
        """Add a turn event, unless it is the one that is meant for runners only."""
        # `{"seq":N,"type":"g...` is generation_finished, the only type with that letter.
        if frame[frame.index(b",", 7) + 9] == 103:  # ord("g")
            return
        if self._is_lagging:
            self._merge(frame, lane)
        else:
            self.put(frame)

    def _merge(self, frame: bytes, lane: Lane) -> None:
        """Join a delta to the one of its lane that waits; any other event of the lane ends that."""
        found = read_delta(frame)
        if found is None:
            lane.merging = None
            self.put(frame)
        elif lane.merging is None or (grown := lane.merging.take(found)) is None:
            self.put(frame)
            if self._frames:
                self._frames[-1] = lane.merging = begin_merge(found)
        else:
            self._bytes += grown
            if self._bytes > self._max_bytes:
                self._refuse()

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
            if self._bytes <= WRITE_BYTES and not self._is_lagging:
                # Frames are merged only while the socket lags.
                writer.write_frames(cast("deque[bytes]", frames))
                frames.clear()
                self._bytes = 0
            else:
                writer.write_frames(self._take())
        self._is_flushing = self._is_lagging = bool(frames)

    def _take(self) -> list[bytes]:
        taken, size = list[bytes](), 0
        while self._frames and size < WRITE_BYTES:
            first = self._frames.popleft()
            taken.append(first if isinstance(first, bytes) else first.frame())
            size += len(taken[-1])
        self._bytes -= size
        return taken
