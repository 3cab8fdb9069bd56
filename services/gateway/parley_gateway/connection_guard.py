"""What bounds a connection: how many there are, and how long each may take for what."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from parley_gateway.connections import Connections

FRAME_BURST_S = 5
"""A socket may send the frames of so many seconds at once."""


@dataclass(frozen=True, slots=True)
class ConnectionGuard:
    """The bounds of every connection of a gateway process.

    Attributes:
        headers_s: From the connection, or the first byte of a further request, to the end of its headers.
        stall_s: How long a client may read nothing of what is sent to it; also how long a message of a
            WebSocket may take from its first byte to its last.
        linger_s: How long a client that was answered early may go on sending the body nobody reads.
        frames_per_s: Frames a WebSocket may send, in the long run.
    """

    connections: Connections
    headers_s: float
    stall_s: float
    frames_per_s: float
    linger_s: float = 2.0


class Clock:
    """One deadline of a connection; to start it again while it runs for the same thing changes nothing."""

    __slots__ = ("_loop", "_timer", "_what")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._what = ""

    def start(self, what: str, delay_s: float, end: Callable[[], None]) -> None:
        """Call `end` after `delay_s`, unless the clock is stopped or started for something else."""
        if self._timer is not None and self._what == what:
            return
        self.stop()
        self._what = what
        self._timer = self._loop.call_later(delay_s, end)

    def stop(self) -> None:
        """Call nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class FrameBudget:
    """A token bucket of frames."""

    __slots__ = ("_left", "_per_s", "_read_s")

    def __init__(self, per_s: float, now_s: float) -> None:
        self._per_s = per_s
        self._left = per_s * FRAME_BURST_S
        self._read_s = now_s

    def spend(self, now_s: float) -> bool:
        """Take one frame out; False when there is none left."""
        most = self._per_s * FRAME_BURST_S
        self._left = min(most, self._left + (now_s - self._read_s) * self._per_s)
        self._read_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
