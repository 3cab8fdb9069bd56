"""A limit of time for work that may lose its cancellation."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

Found = TypeVar("Found")
ASK_AGAIN_S = 0.2


async def within(limit_s: float, work: Coroutine[object, object, Found]) -> Found:
    """Return what `work` does, which is cancelled after `limit_s` and when the caller is: until it ends.

    `asyncio.wait_for` of Python 3.11 swallows a cancellation that comes as its future is done, and nats-py
    tries to connect in a loop around it: told to stop but once, it may go on for ever.

    Raises:
        TimeoutError: It has not ended in time.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=limit_s)
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=ASK_AGAIN_S)
    if task.cancelled():
        raise TimeoutError
    return task.result()
