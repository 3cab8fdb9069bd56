"""An answer that is on its way: its model is asked at once, and heard once there is where to write."""

import asyncio
from collections.abc import AsyncGenerator

from parley_llm.language_model import Chunk


class AskedAnswer:
    """Waits for the first chunk in a task; what follows is read from `chunks`. Closing it aborts the call."""

    def __init__(self, chunks: AsyncGenerator[Chunk, None], tasks: asyncio.TaskGroup) -> None:
        self.chunks = chunks
        self._first = tasks.create_task(self._begin())

    async def _begin(self) -> Chunk | Exception:
        try:
            return await anext(self.chunks)
        except Exception as error:  # noqa: BLE001 - it belongs to who hears the answer
            return error

    async def first(self) -> Chunk:
        """Return the first chunk, or raise what the model raised in its place."""
        found = await self._first
        if isinstance(found, Exception):
            raise found
        return found

    async def aclose(self) -> None:
        """Abort the call, unless it is over."""
        self._first.cancel()
        await asyncio.wait([self._first])
        await self.chunks.aclose()
