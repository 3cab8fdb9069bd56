"""A WebSocket client over a plain TCP socket: reads as little as it is told, and may break off in a frame."""

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, RejectConnection, Request, TextMessage

CONNECT_S = 20.0
SMALL_BUFFER_BYTES = 4096
WIDE_BUFFER_BYTES = 1024 * 1024
SMALL_SEGMENT_BYTES = 536
"""In loopback's large segments the kernel takes megabytes before the sender feels a slow reader."""


class RawSocket:
    """One connection; `closed_with` is the code of the server's close frame, 0 when it broke off."""

    def __init__(self, plain: socket.socket) -> None:
        self.closed_with: int | None = None
        self.read_bytes = 0
        self._plain = plain
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._text = ""
        self._is_open = False

    @classmethod
    async def open(cls, url: str, headers: Mapping[str, str], *, is_narrow: bool = False) -> "RawSocket":
        """Connect to `/ws`; `is_narrow` leaves little room for what is sent and not yet read."""
        address = urlsplit(url)
        plain = socket.socket()
        plain.setblocking(False)
        if is_narrow:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SMALL_SEGMENT_BYTES)
        opened = cls(plain)
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().sock_connect(plain, (address.hostname, address.port))
                extra = [(name.encode(), value.encode()) for name, value in headers.items()]
                await opened._send(Request(host=address.netloc, target="/ws", extra_headers=extra))
                while not opened._is_open:
                    await opened.read(1024)
        except BaseException:
            plain.close()
            raise
        return opened

    async def _send(self, event: Any) -> None:
        await asyncio.get_running_loop().sock_sendall(self._plain, self._protocol.send(event))

    async def send(self, frame: Mapping[str, Any]) -> None:
        """Send a frame; a connection that has broken meanwhile says so to who reads."""
        try:
            await self._send(TextMessage(json.dumps(frame)))
        except OSError:
            self.closed_with = self.closed_with or 0

    async def read(self, most_bytes: int) -> list[dict[str, Any]]:
        """Read at most so many bytes and return the frames that end in them."""
        try:
            data = await asyncio.get_running_loop().sock_recv(self._plain, most_bytes)
        except ConnectionResetError:
            data = b""
        self.read_bytes += len(data)
        if not data:
            self.closed_with = self.closed_with or 0
            return []
        self._protocol.receive_data(data)
        frames: list[dict[str, Any]] = []
        for event in self._protocol.events():
            match event:
                case TextMessage():
                    self._text += event.data
                    if event.message_finished:
                        frames.append(json.loads(self._text))
                        self._text = ""
                case AcceptConnection():
                    self._is_open = True
                case RejectConnection():
                    raise ConnectionRefusedError(event.status_code)
                case Ping():
                    await self._send(event.response())
                case CloseConnection():
                    self.closed_with = int(event.code)
                    break
                case _:
                    pass
        return frames

    def widen(self) -> None:
        """Let a narrow connection carry as much as it can from now on."""
        self._plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WIDE_BUFFER_BYTES)

    def close(self) -> None:
        """End the connection in the ordinary way of TCP, without a word."""
        self._plain.close()

    def abort(self) -> None:
        """End the connection by a reset, wherever in a frame it stands."""
        self._plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._plain.close()
