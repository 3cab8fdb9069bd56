"""Addresses at which nobody answers, each in its own way."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager


@contextmanager
def nobody_accepting(port: int) -> Generator[None]:
    """Listen so that a connection is neither accepted nor refused: the few places to wait in are taken."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        try:
            yield
        finally:
            for one in waiting:
                one.close()


@asynccontextmanager
async def hanging_up() -> AsyncGenerator[int]:
    """Accept each connection and close it at once; yield the port."""

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
