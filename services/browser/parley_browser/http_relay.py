"""Carries one proxied exchange between a client and a server: plain HTTP, or an opaque tunnel."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import h11

HEAD_LIMIT_BYTES = 256 * 1024
_CHUNK_BYTES = 64 * 1024

# RFC 9110, 7.6.1: what concerns one connection only, and the pass that is for the proxy alone.
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
    }
)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CountBytes = Callable[[int], None]
# h11 types its two pseudo events (NEED_DATA, PAUSED) as classes, which isinstance cannot tell apart.
Event = Any


async def next_event(connection: h11.Connection, reader: asyncio.StreamReader) -> Event:
    """Return the next HTTP event, reading as much as it takes."""
    while True:
        event = connection.next_event()
        if event is not h11.NEED_DATA:
            return event
        connection.receive_data(await reader.read(_CHUNK_BYTES))


async def reply(
    client: h11.Connection,
    writer: asyncio.StreamWriter,
    status: int,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    """Answer a request with an empty response of the proxy's own."""
    closing = [(b"Content-Length", b"0"), (b"Connection", b"close"), *(headers or [])]
    await _send(client, writer, h11.Response(status_code=status, headers=closing))
    await _send(client, writer, h11.EndOfMessage())


async def relay_tunnel(
    request: h11.Request, client: h11.Connection, near: Streams, far: Streams, count_bytes: CountBytes
) -> None:
    """Answer a CONNECT and carry bytes both ways until both sides have ended."""
    del request
    await next_event(client, near[0])
    await _send(client, near[1], h11.Response(status_code=200, headers=[]))
    early, _ = client.trailing_data
    far[1].write(early)
    async with asyncio.TaskGroup() as pumps:
        pumps.create_task(_pump(near[0], far[1], _uncounted))
        pumps.create_task(_pump(far[0], near[1], count_bytes))


async def relay_http(
    request: h11.Request, client: h11.Connection, near: Streams, far: Streams, count_bytes: CountBytes
) -> None:
    """Carry one request and its response; the connection serves no second one."""
    server = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_LIMIT_BYTES)
    onward = h11.Request(
        method=request.method, target=_origin_form(request.target), headers=_end_to_end(request.headers)
    )
    await _send(server, far[1], onward)
    async with asyncio.TaskGroup() as tasks:
        upload = tasks.create_task(_relay_body(client, near[0], server, far[1], _uncounted))
        await _relay_response(server, far[0], client, near[1], count_bytes)
        # A server may answer without having read the whole request.
        upload.cancel()


async def _relay_response(
    server: h11.Connection,
    reader: asyncio.StreamReader,
    client: h11.Connection,
    writer: asyncio.StreamWriter,
    count_bytes: CountBytes,
) -> None:
    try:
        head = await next_event(server, reader)
        while isinstance(head, h11.InformationalResponse):
            head = await next_event(server, reader)
        if not isinstance(head, h11.Response):
            raise ConnectionError("the server closed without a response")
        response = h11.Response(
            status_code=head.status_code, reason=head.reason, headers=_end_to_end(head.headers)
        )
        await _send(client, writer, response)
        await _relay_body(server, reader, client, writer, count_bytes)
    except (OSError, h11.ProtocolError):
        writer.transport.abort()


async def _relay_body(
    source: h11.Connection,
    reader: asyncio.StreamReader,
    sink: h11.Connection,
    writer: asyncio.StreamWriter,
    count_bytes: CountBytes,
) -> None:
    try:
        while isinstance(event := await next_event(source, reader), h11.Data):
            count_bytes(len(event.data))
            await _send(sink, writer, event)
        if isinstance(event, h11.EndOfMessage):
            await _send(sink, writer, h11.EndOfMessage())
    except (OSError, h11.ProtocolError):
        writer.transport.abort()


async def _send(connection: h11.Connection, writer: asyncio.StreamWriter, event: h11.Event) -> None:
    data = connection.send(event)
    if data:
        writer.write(data)
        await writer.drain()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count_bytes: CountBytes) -> None:
    try:
        while data := await reader.read(_CHUNK_BYTES):
            count_bytes(len(data))
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


def _uncounted(size_bytes: int) -> None:
    """Take what a page sends as it comes: only what it receives is limited."""


def _origin_form(target: bytes) -> bytes:
    parts = urlsplit(target.decode("ascii"))
    return f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}".encode()


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]
    return [*kept, (b"Connection", b"close")]
