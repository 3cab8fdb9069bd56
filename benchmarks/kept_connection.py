"""A connection of a benchmark's clients, at the least cost: what comes is kept, and taken apart later."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, cast


class KeptConnection(asyncio.Protocol):
    """Keeps what comes in `raw`; `ended` is set when nothing more is waited for."""

    def __init__(self) -> None:
        self.raw = bytearray()
        self.is_lost = False
        self.ended = asyncio.Event()
        self._changed = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.raw += data
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._changed.set()
        self.ended.set()

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    async def until(self, wanted: bytes) -> None:
        """Wait until the server has sent `wanted`."""
        while wanted not in self.raw:
            if self.is_lost:
                raise ConnectionError(f"closed after {bytes(self.raw)!r}")
            self._changed.clear()
            await self._changed.wait()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def all_ended(connections: Sequence[KeptConnection], timeout_s: float) -> dict[str, Any]:
    """Wait for the ends of all connections; return how many are late, and how long it took."""
    began_s = time.monotonic()
    waits = [asyncio.ensure_future(one.ended.wait()) for one in connections]
    late = (await asyncio.wait(waits, timeout=timeout_s))[1] if waits else ()
    for wait in late:
        wait.cancel()
    return {"late": len(late), "took_s": time.monotonic() - began_s}
