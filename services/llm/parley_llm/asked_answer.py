"""An answer that is on its way: its model is asked at once, and heard once there is where to write."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, suppress

from parley_llm.language_model import Chunk

Stopping = Callable[[asyncio.Timeout], AbstractContextManager[None]]
"""Has a stop of the turn expire a clock."""


class AskedAnswer:
    """Waits for the first chunk in a task; what follows is read from `chunks`. Closing it aborts the call."""

    def __init__(
        self, chunks: AsyncGenerator[Chunk, None], stopping: Stopping, tasks: asyncio.TaskGroup
    ) -> None:
        self.chunks = chunks
        self._first = tasks.create_task(self._begin(stopping))

    async def _begin(self, stopping: Stopping) -> Chunk | Exception:
        try:
            async with asyncio.timeout(None) as clock:
                # Nobody may be listening yet who would hear of it.
                with stopping(clock):
                    return await anext(self.chunks)
        except Exception as error:  # noqa: BLE001 - it belongs to who hears the answer
            return error

    async def first(self) -> Chunk:
        """Return the first chunk, or raise what the model raised in its place; TimeoutError after a stop."""
        found = await self._first
        if isinstance(found, Exception):
            raise found
        return found

    async def aclose(self) -> None:
        """Abort the call, unless it is over."""
        self._first.cancel()
        try:
            await asyncio.wait([self._first])
        finally:
            # Where the wait is broken off, the task may still be at it, and ends it by its cancellation.
            with suppress(RuntimeError):
                await self.chunks.aclose()
