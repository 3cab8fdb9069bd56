"""An answer that is asked for while its pen is being claimed: whoever wins the pen goes on with it."""

import asyncio
from collections.abc import AsyncGenerator

from parley_llm.language_model import Chunk


class EarlyAnswer:
    """Asks at once and waits for the first chunk; what follows is read by who takes the answer."""

    def __init__(self, chunks: AsyncGenerator[Chunk, None], tasks: asyncio.TaskGroup) -> None:
        self.chunks = chunks
        self._first = tasks.create_task(self._begin())

    async def _begin(self) -> Chunk | Exception:
        try:
            return await anext(self.chunks)
        except Exception as error:  # noqa: BLE001 - it is the taker's, as if the answer had begun with him
            return error

    async def first(self) -> Chunk:
        """Return the first chunk, or raise what the model raised in its place."""
        found = await self._first
        if isinstance(found, Exception):
            raise found
        return found

    async def drop(self) -> None:
        """Abort the call."""
        self._first.cancel()
        await asyncio.wait([self._first])
        await self.chunks.aclose()
