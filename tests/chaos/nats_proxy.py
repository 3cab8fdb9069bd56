"""What stands between a client and its nats-server: where it listens, and how both directions run."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

LOOPBACK = "127.0.0.1"
CHUNK_BYTES = 65_536

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncGenerator[str]:
    """Serve connections on a free port, whose address as that of a bus is given."""
    listener = await asyncio.start_server(serve, LOOPBACK, 0)
    try:
        yield f"nats://{LOOPBACK}:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        await listener.wait_closed()


@asynccontextmanager
async def both_ways(
    upward: Coroutine[Any, Any, None], downward: Coroutine[Any, Any, None]
) -> AsyncGenerator["asyncio.Future[None]"]:
    """Run both directions until one of them ends; the body is given the downward one, and then both end."""
    running = [asyncio.ensure_future(upward), asyncio.ensure_future(downward)]
    try:
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        yield running[1]
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
