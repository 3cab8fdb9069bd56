"""Is a nats-server, a redis-server or a service ready? Bare sockets: they are asked every few ms."""

import asyncio
import contextlib
import ssl
from enum import IntEnum
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from parley_cli.supervisor.process_spec import Probe

LOOPBACK = "127.0.0.1"
PROBE_TIMEOUT_S = 2.0


async def _said(
    host: str, port: int, request: bytes, *, is_whole: bool = False, tls: ssl.SSLContext | None = None
) -> bytes:
    """Return the first line a server says, or all of it, or b"" when it says nothing."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port, ssl=tls)
            writer.write(request)
            return await (reader.read(-1) if is_whole else reader.readline())
    except (OSError, TimeoutError, ValueError):
        return b""
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class NatsGreeting(IntEnum):
    """What an address that should be a nats-server's answers, from worst to best."""

    NOTHING = 0
    NOT_NATS = 1
    NO_JETSTREAM = 2
    WITH_JETSTREAM = 3


def _greeting(line: bytes) -> NatsGreeting:
    if not line.startswith(b"INFO "):
        return NatsGreeting.NOT_NATS
    return NatsGreeting.WITH_JETSTREAM if b'"jetstream":true' in line else NatsGreeting.NO_JETSTREAM


def nats_probe(port: int) -> Probe:
    """Ready when the server greets and says that it has JetStream."""

    async def probe(_: str) -> bool:
        return _greeting(await _said(LOOPBACK, port, b"")) is NatsGreeting.WITH_JETSTREAM

    return probe


def redis_probe(port: int, ca_file: Path | None = None) -> Probe:
    """Ready when the server answers PING; while it loads its files it answers an error."""
    tls = ssl.create_default_context(cafile=ca_file) if ca_file else None

    async def probe(_: str) -> bool:
        return (await _said(LOOPBACK, port, b"PING\r\n", tls=tls)).startswith(b"+PONG")

    return probe


def http_probe(port: int) -> Probe:
    """Ready when `GET /readyz` answers 200 in the name of our own process.

    Another stack's process may have taken the port between its choice and the start of ours.
    """
    request = f"GET /readyz HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nConnection: close\r\n\r\n".encode()

    async def probe(instance: str) -> bool:
        answer = await _said(LOOPBACK, port, request, is_whole=True)
        return answer.split(b" ")[1:2] == [b"200"] and f'"{instance}"'.encode() in answer

    return probe


def shown_address(url: str) -> str:
    """Return addresses as they may be shown: without scheme and without name and password."""
    parts = [address.rpartition("@")[2].rpartition("//")[2] for address in url.split(",")]
    return ", ".join(parts)


def _split(address: str) -> SplitResult:
    return urlsplit(address if "://" in address else f"//{address}")


async def nats_greeting(url: str, default_port: int) -> NatsGreeting:
    """Return the best that any server of a comma-separated list of addresses says first."""
    best = NatsGreeting.NOTHING
    for address in url.split(","):
        if not await is_reachable(address, default_port):
            continue
        parts = _split(address.strip())
        if parts.scheme not in ("", "nats"):
            return (
                NatsGreeting.WITH_JETSTREAM
            )  # TLS and WebSocket may hide the greeting: the services find out
        line = await _said(parts.hostname or LOOPBACK, parts.port or default_port, b"")
        best = max(best, _greeting(line))
    return best


async def is_reachable(url: str, default_port: int) -> bool:
    """Return whether any server of a comma-separated list of addresses takes connections."""
    for address in url.split(","):
        try:
            parts = _split(address.strip())
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                _, writer = await asyncio.open_connection(
                    parts.hostname or LOOPBACK, parts.port or default_port
                )
        except (OSError, TimeoutError, ValueError):
            continue
        writer.close()
        return True
    return False
