"""Threads that wait for other people's servers: so many and no more, and nothing else waits behind them."""

from collections.abc import AsyncGenerator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager


@asynccontextmanager
async def open_threads(at_once: int, name: str) -> AsyncGenerator[Executor]:
    """Yield threads for one purpose; what still waits for one of them at the end is not begun.

    Args:
        at_once: How many there are at most.
        name: What they are called in a dump of the process.
    """
    threads = ThreadPoolExecutor(at_once, thread_name_prefix=name)
    try:
        yield threads
    finally:
        # What has begun ends by its own clock: nobody waits here for a server that may say nothing.
        threads.shutdown(wait=False, cancel_futures=True)
