"""Waits until a process of a benchmark is ready: by the first line it says on its port."""

import asyncio
import contextlib

from benchmarks.processes import BenchProcess

READY_S = 30.0
POLL_S = 0.05


async def _first_line(port: int, request: bytes) -> bytes:
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            return await reader.readline()
        finally:
            writer.close()
    return b""


async def _until(
    process: BenchProcess, port: int, request: bytes, wanted: bytes, within_s: float = READY_S
) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while not process.has_ended:
                if wanted in await _first_line(port, request):
                    return
                await asyncio.sleep(POLL_S)
    raise RuntimeError(f"{process.name} is not ready:\n{process.log_end()}")


async def http_is_ready(
    process: BenchProcess, port: int, *, path: str = "/readyz", within_s: float = READY_S
) -> None:
    """Return when a GET of `path` answers 200; RuntimeError with the log when it does not in time."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    await _until(process, port, request.encode(), b" 200 ", within_s)


async def nats_is_ready(process: BenchProcess, port: int) -> None:
    """Return when nats-server greets and says that it has JetStream; RuntimeError as above."""
    await _until(process, port, b"", b'"jetstream":true')
