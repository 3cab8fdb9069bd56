"""A client that says exactly what it is told, byte for byte."""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

from tests.unit.gateway.http_edge import KEY

WAIT_S = 10.0
NARROW_BYTES = 4096
HOST = "127.0.0.1"
KEYED = f"Host: gateway\r\nAuthorization: Bearer {KEY}\r\n".encode()
UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
NONCE = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
MASK = b"\x01\x02\x03\x04"
TEXT, PING, PONG, CLOSE = 0x1, 0x9, 0xA, 0x8


class RawClient:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @property
    def transport(self) -> asyncio.Transport:
        return cast("asyncio.Transport", self.writer.transport)

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, bytes]:
        """Return the status and the head of the next answer."""
        async with asyncio.timeout(WAIT_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1]), head

    async def rest(self) -> bytes:
        """Return what comes until the server closes."""
        async with asyncio.timeout(WAIT_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def piece(self) -> bytes:
        """Return what has come, as soon as something has."""
        async with asyncio.timeout(WAIT_S):
            return await self.reader.read(65_536)

    async def open_socket(self) -> None:
        await self.say(b"GET /ws HTTP/1.1\r\n" + KEYED + UPGRADE + NONCE + b"\r\n")
        status, _ = await self.head()
        assert status == 101

    async def frame(self) -> tuple[int, bytes]:
        """Return the opcode and the payload of the server's next frame."""
        async with asyncio.timeout(WAIT_S):
            first, size = await self.reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            return first & 0xF, await self.reader.readexactly(size)


def frame(opcode: int, payload: bytes = b"", *, is_last: bool = True) -> bytes:
    """Return a client's frame."""
    head = bytes([opcode | (0x80 if is_last else 0)])
    size = len(payload)
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65_536:
        head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return head + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))


@asynccontextmanager
async def connected_and_deaf(port: int) -> AsyncGenerator[RawClient]:
    """Yield a connection whose end reads nothing, with little room for what it does not read."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW_BYTES)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, (HOST, port))
    reader, writer = await asyncio.open_connection(sock=narrow)
    client = RawClient(reader, writer)
    client.transport.pause_reading()
    try:
        yield client
    finally:
        client.transport.abort()


@asynccontextmanager
async def connected(port: int, tls: ssl.SSLContext | None = None) -> AsyncGenerator[RawClient]:
    """Yield a connection to a port of this machine."""
    reader, writer = await asyncio.open_connection(HOST, port, ssl=tls)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()
