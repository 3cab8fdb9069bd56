"""uvicorn's HTTP protocol with bounds that it lacks: open connections, slow headers, bodies nobody reads."""

import asyncio
import json
import logging
from typing import Any

import h11
from parley_contracts.errors import ErrorCode, ParleyError
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from parley_gateway.connection_guard import Clock, ConnectionGuard
from parley_gateway.frame_protocol import FrameProtocol
from parley_gateway.http_errors import SECURITY_HEADERS

MAX_HEADER_BYTES = 32 * 1024
REFUSED = (
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 10\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


_LOG = logging.getLogger("parley.gateway.http")
# What strangers send wrong is told to them, and not to a log that they could fill.
_LOG.setLevel(logging.ERROR)


class HttpProtocol(H11Protocol):
    """One connection, until it becomes a WebSocket."""

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
        self.logger = _LOG
        self._guard = guard
        self._asking = Clock(self.loop)
        self._is_counted = False

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as in uvicorn
        super().connection_made(transport)
        self._is_counted = self._guard.connections.enter(self._address)
        if self._is_counted:
            self._asking.start("headers", self._guard.headers_s, self._give_up)
        else:
            transport.write(REFUSED)
            transport.close()
            # TLS waits for the other end to close as well.
            self._asking.start("refusal", self._guard.linger_s, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._asking.stop()
        if self._is_counted:
            self._is_counted = False
            self._guard.connections.leave(self._address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._set_clock()

    def _set_clock(self) -> None:
        if not self._is_counted or self.transport.is_closing():
            self._asking.stop()
        elif self.conn.their_state is h11.IDLE:
            # Between two requests uvicorn's own clock runs, until the first byte of the next one.
            if self.timeout_keep_alive_task is None:
                self._asking.start("headers", self._guard.headers_s, self._give_up)
        elif self.conn.their_state is h11.SEND_BODY and self.cycle.response_complete:
            self._asking.start("linger", self._guard.linger_s, self._give_up)
        else:
            # The application reads the body, and has clocks for it.
            self._asking.stop()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._set_clock()

    def _give_up(self) -> None:
        self.transport.abort()

    def _get_upgrade(self) -> bytes | None:
        # RFC 9110, section 7.8: of a client that speaks HTTP 1.0 it is ignored.
        return super()._get_upgrade() if self.scope["http_version"] == "1.1" else None

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection on; what is counted stays counted until the WebSocket's end."""
        self._asking.stop()
        self._is_counted = False
        self.connections.discard(self)
        protocol = FrameProtocol(self.config, self.server_state, self.app_state, guard=self._guard)
        # Before anything can fail: whoever has the connection then is told of its end.
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        if self.flow.write_paused:
            protocol.pause_writing()
        protocol.begin(event.method, event.target, self.headers)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, in the shape of every error."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        body = ParleyError(ErrorCode.INVALID_REQUEST, msg).body().model_dump(mode="json", exclude_none=True)
        content = json.dumps({"error": body}).encode()
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(content))),
            ("connection", "close"),
            *SECURITY_HEADERS.items(),
        ]
        head = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for part in (head, h11.Data(data=content), h11.EndOfMessage()):
            self.transport.write(self.conn.send(part) or b"")
        self.transport.close()
