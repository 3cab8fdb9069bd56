"""uvicorn's WebSocket protocol with one ASGI extension: many text frames in one write, without awaiting.

ASGI takes a frame a call: each passes every middleware and is a system call of its own. An application
finds the extension in `scope["extensions"][FRAMES]`.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from uvicorn.server import ServerState
from wsproto import events

from parley_gateway.connection_guard import Clock, ConnectionGuard, FrameBudget

FRAMES = "parley.frames"
POLICY_VIOLATION = 1008
_UNREADABLE = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_SHORT, _MEDIUM, _LONG = 125, 0xFFFF, 8
_TEXT = 0x81  # FIN and opcode 1; a server does not mask, and no extension is negotiated.
_HEADS = tuple(bytes((_TEXT, size)) for size in range(_SHORT + 1))


def _head(size: int) -> bytes:
    if size <= _MEDIUM:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(_LONG, "big")


def _do_nothing() -> None:
    pass


class FrameProtocol(WSProtocol):
    """One connection."""

    on_writable: Callable[[], None] = staticmethod(_do_nothing)

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        guard: ConnectionGuard,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._guard = guard
        self._budget = FrameBudget(guard.frames_per_s, self.loop.time())
        self._sending = Clock(self.loop)
        self._host = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as in uvicorn
        super().connection_made(transport)
        self._sending.start("handshake", self._guard.headers_s, self._drop_if_not_open)

    def begin(self, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Take the head of the request that has asked for a WebSocket; names of headers are in lower case."""
        self._host = dict(headers).get(b"host", b"")
        # wsproto makes Unicode of a host, or fails at it; `handle_connect` puts back what was sent.
        head = b"%s %s HTTP/1.1\r\nhost: gateway\r\n" % (method, target)
        lines = (b"%s: %s\r\n" % (name, value) for name, value in headers if name != b"host")
        try:
            self.data_received(b"%s%s\r\n" % (head, b"".join(lines)))
        except UnicodeError:
            self.transport.write(_UNREADABLE)
            self.transport.close()

    def handle_connect(self, event: events.Request) -> None:
        super().handle_connect(event)
        others = (header for header in self.scope["headers"] if header[0] != b"host")
        self.scope["headers"] = [(b"host", self._host), *others]

    def connection_lost(self, exc: Exception | None) -> None:
        self._sending.stop()
        # It was counted when it was HTTP.
        self._guard.connections.leave(self.client[0] if self.client else "")
        super().connection_lost(exc)

    def _drop_if_not_open(self) -> None:
        if not self.handshake_complete:
            self.transport.abort()

    def handle_message(self, event: events.TextMessage | events.BytesMessage) -> None:
        """Take a piece of a message, unless there were too many or it takes too long."""
        if event.frame_finished and not self._may_send():
            return
        if event.message_finished:
            self._sending.stop()
        else:
            self._sending.start("message", self._guard.stall_s, self.abort)
        super().handle_message(event)

    def handle_ping(self, event: events.Ping) -> None:
        """Answer a ping; of a client that reads nothing, none: the answers would pile up."""
        if self._may_send() and self.can_write:
            super().handle_ping(event)

    def handle_pong(self, event: events.Pong) -> None:
        if self._may_send():
            super().handle_pong(event)

    def _may_send(self) -> bool:
        """Count a frame; past the budget the socket is closed."""
        if self._budget.spend(self.loop.time()):
            return True
        reason = "too many frames"
        self.queue.put_nowait({"type": "websocket.disconnect", "code": POLICY_VIOLATION, "reason": reason})
        if not self.transport.is_closing():
            goodbye = events.CloseConnection(code=POLICY_VIOLATION, reason=reason)
            self.transport.write(self.conn.send(goodbye))
            self.transport.close()
        self.close_sent = True
        return False

    async def run_asgi(self) -> None:
        """Run the application with the extension in its scope."""
        extensions: dict[str, object] = self.scope.setdefault("extensions", {})  # pyright: ignore[reportAssignmentType] - ASGI's type knows no extensions of others
        extensions[FRAMES] = self
        await super().run_asgi()

    @property
    def can_write(self) -> bool:
        """Whether the client keeps up; `on_writable` is called when it does again."""
        return self.writable.is_set()

    def write_frames(self, frames: Iterable[bytes]) -> None:
        """Write text frames at once; on a closed connection they are dropped."""
        if self.close_sent or self.transport.is_closing():
            return
        parts: list[bytes] = []
        for frame in frames:
            size = len(frame)
            parts.append(_HEADS[size] if size <= _SHORT else _head(size))
            parts.append(frame)
        self.transport.write(b"".join(parts))

    def abort(self) -> None:
        """Drop the connection with what is unsent; `close` would wait for a client that reads nothing."""
        self.transport.abort()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.loop.call_later(self.close_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.on_writable()
