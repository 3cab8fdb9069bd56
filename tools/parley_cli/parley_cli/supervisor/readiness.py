"""Is a nats-server, a redis-server or a service ready? Bare sockets: they are asked every few ms."""

import asyncio
import contextlib
from urllib.parse import urlsplit

from parley_cli.supervisor.process_spec import Probe

LOOPBACK = "127.0.0.1"
PROBE_TIMEOUT_S = 2.0


async def _said(host: str, port: int, request: bytes, *, is_whole: bool = False) -> bytes:
    """Return the first line a server says, or all of it, or b"" when it says nothing."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(request)
            return await (reader.read(-1) if is_whole else reader.readline())
    except (OSError, TimeoutError, ValueError):
        return b""
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def nats_probe(port: int) -> Probe:
    """Ready when the server greets and says that it has JetStream."""

    async def probe(_: str) -> bool:
        line = await _said(LOOPBACK, port, b"")
        return line.startswith(b"INFO ") and b'"jetstream":true' in line

    return probe


def redis_probe(port: int) -> Probe:
    """Ready when the server answers PING; while it loads its files it answers an error."""

    async def probe(_: str) -> bool:
        return (await _said(LOOPBACK, port, b"PING\r\n")).startswith(b"+PONG")

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


async def is_reachable(url: str, default_port: int) -> bool:
    """Return whether any server of a comma-separated list of addresses takes connections."""
    for address in url.split(","):
        parts = urlsplit(address if "://" in address else f"//{address}")
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                _, writer = await asyncio.open_connection(
                    parts.hostname or LOOPBACK, parts.port or default_port
                )
        except (OSError, TimeoutError, ValueError):
            continue
        writer.close()
        return True
    return False
