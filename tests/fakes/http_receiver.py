"""Somebody else's HTTP server: it keeps what it is sent, over real sockets, and answers as a test says."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def answer_of(status: int = 200, headers: str = "", body: bytes = b"ok") -> bytes:
    """Return the bytes of an answer."""
    head = f"HTTP/1.1 {status} Status\r\n{headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


@dataclass
class HttpReceiver:
    """Answers with the next of `answers`, the last of them from then on; a function answers by itself."""

    scheme: str = "http"
    host: str = "127.0.0.1"
    port: int = 0
    answers: list[bytes | Answering] = field(default_factory=lambda: list[bytes | Answering]([answer_of()]))
    received: list[Received] = field(default_factory=list[Received])
    has_received: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://{self.host}:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request."""
        try:
            self.received.append(await _read(reader))
            self.has_received.set()
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Received:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    named = (line.split(":", 1) for line in lines if line)
    headers = {name.strip().lower(): value.strip() for name, value in named}
    return Received(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


@asynccontextmanager
async def open_receiver(
    *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncGenerator[HttpReceiver]:
    """Listen on loopback; `host` is the name by which its URL calls it."""
    receiver = HttpReceiver("https" if tls else "http", host)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        await server.wait_closed()
