"""What a socket has still to send: bounded, in order; a socket that lags too far is closed."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

SendText = Callable[[str], Awaitable[None]]


class SlowSocketError(Exception):
    """More unsent bytes have piled up than a socket may have; the client can resume."""


class Outbox:
    """Frames waiting for one socket. Full rule: past `max_bytes` the socket is closed with 1013."""

    def __init__(self, max_bytes: int) -> None:
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._max_bytes = max_bytes
        self._is_overfull = False
        self._changed = asyncio.Event()

    def put(self, frame: bytes) -> None:
        """Add a frame; never blocks, for it is called from the bus."""
        self._bytes += len(frame)
        if self._bytes > self._max_bytes:
            self._is_overfull = True
        else:
            self._frames.append(frame)
        self._changed.set()

    def relay(self, frame: bytes, _: int) -> None:
        """Add a turn event, unless it is the one that is meant for runners only."""
        # `{"seq":N,"type":"g...` is generation_finished, the only type with that letter.
        if frame[frame.index(b",", 7) + 9] != 103:  # ord("g")
            self.put(frame)

    @property
    def is_empty(self) -> bool:
        """Whether everything has been handed to the socket."""
        return not self._frames

    async def send_all(self, send: SendText) -> None:
        """Send frames as they come, until cancelled; SlowSocketError when too many have piled up."""
        frames = self._frames
        while True:
            while frames:
                if self._is_overfull:
                    raise SlowSocketError
                frame = frames.popleft()
                self._bytes -= len(frame)
                await send(frame.decode())
            if self._is_overfull:
                raise SlowSocketError
            self._changed.clear()
            await self._changed.wait()
