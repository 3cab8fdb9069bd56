"""Waits that can be cancelled at any moment, on Python 3.11 too.

Its `asyncio.wait_for`, which nats-py awaits each answer with, forgets a cancellation that comes in the moment
in which the answer does. In a loop of requests that is most of them: the end of a time limit, a stop and a
shutdown, each said once, would be lost. Python 3.12 mended it.
"""

import asyncio
import sys
from collections.abc import Awaitable
from typing import TypeVar

Found = TypeVar("Found")


async def wait_for(awaited: Awaitable[Found], timeout: float | None) -> Found:
    """Do what `asyncio.wait_for` does in Python 3.12."""
    if timeout is None or timeout > 0:
        async with asyncio.timeout(timeout):
            return await awaited
    task = asyncio.ensure_future(awaited)
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    if task.cancelled():
        raise TimeoutError
    return task.result()


def make_waits_cancellable() -> None:
    """Have every `asyncio.wait_for` of this process keep cancellations."""
    if sys.version_info < (3, 12):
        asyncio.wait_for = wait_for
