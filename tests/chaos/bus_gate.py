"""A proxy before the nats-server of one process, whose connections can be cut and kept away."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tests.chaos.nats_proxy import CHUNK_BYTES, LOOPBACK, both_ways, listening


class BusGate:
    """Passes bytes on while it is open; shut, it drops every connection and takes no new one."""

    def __init__(self, server_port: int) -> None:
        self.url = ""
        self._server_port = server_port
        self._is_shut = False
        self._writers: set[asyncio.StreamWriter] = set()

    def shut(self) -> None:
        """Cut every connection, without a word to either side."""
        self._is_shut = True
        for writer in self._writers:
            writer.transport.abort()

    def reopen(self) -> None:
        """Let connections pass again."""
        self._is_shut = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it or the gate is shut."""
        if self._is_shut:
            writer.transport.abort()
            return
        server_reader, server_writer = await asyncio.open_connection(LOOPBACK, self._server_port)
        both = {writer, server_writer}
        self._writers |= both
        try:
            async with both_ways(_pump(reader, server_writer), _pump(server_reader, writer)):
                pass
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source.read(CHUNK_BYTES):
            target.write(chunk)
            await target.drain()


@asynccontextmanager
async def open_gate(server_port: int) -> AsyncGenerator[BusGate]:
    """Listen on a free port, and stand between who connects there and the nats-server at `server_port`."""
    gate = BusGate(server_port)
    async with listening(gate.serve) as gate.url:
        try:
            yield gate
        finally:
            gate.shut()
