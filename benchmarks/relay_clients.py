"""The receivers of a relay benchmark: many WebSockets in one process, at the least cost.

While frames come they are only appended; they are taken apart and compared when the run is over.
"""

import asyncio
import json
from collections import Counter
from typing import Any, cast

import uvloop

from benchmarks.commands import serve_commands
from benchmarks.load import END, delta_frames

_END = f'"{END}"}}'.encode()
_HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Authorization: Bearer {key}\r\n\r\n"
)
OPEN_S = 30.0
_TEXT = 1


def text_frames(raw: bytes) -> list[bytes]:
    """Return the payloads of the text frames in what a server sent."""
    found: list[bytes] = []
    at = 0
    while at < len(raw):
        opcode, size = raw[at] & 15, raw[at + 1]
        at += 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(raw[at : at + width], "big")
            at += width
        if opcode == _TEXT:
            found.append(raw[at : at + size])
        at += size
    return found


class Receiver(asyncio.Protocol):
    """One socket, which watches one turn."""

    def __init__(self, turn_id: str) -> None:
        self.turn_id = turn_id
        self.raw = bytearray()
        self.is_closed = False
        self.ended = asyncio.Event()
        self.changed = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.raw += data
        self.changed.set()
        if self.raw.endswith(_END):
            self.ended.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self.changed.set()
        self.ended.set()

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def send(self, frame: dict[str, Any]) -> None:
        """Send a text frame, masked with zeros."""
        payload = json.dumps(frame).encode()
        size = len(payload)
        head = bytes([0x81, 0x80 | size]) if size < 126 else bytes([0x81, 0xFE]) + size.to_bytes(2, "big")
        self.write(head + bytes(4) + payload)

    async def until(self, wanted: bytes) -> None:
        """Wait until the server has sent `wanted`."""
        while wanted not in self.raw:
            if self.is_closed:
                raise ConnectionError(f"closed after {bytes(self.raw)!r}")
            self.changed.clear()
            await self.changed.wait()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Receivers:
    """All sockets of a run."""

    def __init__(self) -> None:
        self._open: list[Receiver] = []

    async def open(self, port: int, key: str, turns: list[str], frame: dict[str, Any]) -> dict[str, Any]:
        """Open a socket for each turn, send `frame` with its turn id, and wait until it is served."""
        async with asyncio.timeout(OPEN_S):
            for turn_id in turns:
                await self._open_one(port, key, turn_id, frame)
        return {"open": len(self._open)}

    async def _open_one(self, port: int, key: str, turn_id: str, frame: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        _, receiver = await loop.create_connection(lambda: Receiver(turn_id), "127.0.0.1", port)
        receiver.write(_HANDSHAKE.format(host="127.0.0.1", port=port, key=key).encode())
        await receiver.until(b"\r\n\r\n")
        if not receiver.raw.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(bytes(receiver.raw).decode())
        receiver.raw.clear()
        receiver.send({**frame, "turn_id": turn_id})
        # Frames of a socket are handled in order.
        receiver.send({"type": "ping"})
        await receiver.until(b'"pong"')
        self._open.append(receiver)

    async def expect(self, timeout_s: float) -> dict[str, Any]:
        """Wait until every stream has ended."""
        began_s = asyncio.get_running_loop().time()
        waits = [asyncio.ensure_future(receiver.ended.wait()) for receiver in self._open]
        _, late = await asyncio.wait(waits, timeout=timeout_s)
        for wait in late:
            wait.cancel()
        return {"late": len(late), "took_s": asyncio.get_running_loop().time() - began_s}

    async def close(self, epoch: int, deltas: int) -> dict[str, Any]:
        """Compare what came with what was sent, close, and return how many streams were as they should."""
        found = Counter[str]()
        for receiver in self._open:
            frames = text_frames(bytes(receiver.raw))
            found["frames"] += len(frames)
            kept = [frame for frame in frames if b'"type":"text_delta"' in frame]
            is_exact = kept == delta_frames(receiver.turn_id, epoch, deltas)
            found["exact" if is_exact else "wrong"] += 1
            receiver.close()
        self._open.clear()
        return {"frames": found["frames"], "exact": found["exact"], "wrong": found["wrong"]}


def main() -> None:
    receivers = Receivers()
    uvloop.run(serve_commands({"open": receivers.open, "expect": receivers.expect, "close": receivers.close}))


if __name__ == "__main__":
    main()
