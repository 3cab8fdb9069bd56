"""Waiting for what tells nobody that it has happened."""

import asyncio
from collections.abc import Awaitable, Callable

STEP_S = 0.03


async def eventually(holds: Callable[[], Awaitable[bool]], *, within_s: float = 30.0) -> None:
    """Return as soon as `holds` does; TimeoutError after `within_s`."""
    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110 - processes and servers send this loop no event
            await asyncio.sleep(STEP_S)
