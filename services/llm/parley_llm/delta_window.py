"""Merges deltas that follow each other closely, leading edge first: slow models pay nothing."""

import asyncio
from collections.abc import Awaitable, Callable

from parley_llm.written_answer import Strand

Send = Callable[[Strand, str], Awaitable[None]]


class DeltaWindow:
    """Sends a delta at once unless one went out less than a window ago; later ones travel as one.

    Only those of one strand do: before another one begins, what is held of the last is sent.
    """

    def __init__(self, send: Send, window_ms: float, tasks: asyncio.TaskGroup) -> None:
        self._send = send
        self._window_s = window_ms / 1000
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._sent_s = float("-inf")
        self._held: list[str] = []
        self._strand: Strand | None = None
        self._sending = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None

    async def add(self, strand: Strand, text: str) -> None:
        """Send `text` now, or within the window together with its neighbours."""
        if strand is not self._strand:
            if self._held:
                await self.flush()
            self._strand = strand
        self._held.append(text)
        if self._loop.time() - self._sent_s >= self._window_s:
            # Where an earlier delta still waits to be sent, this waits as well: the model is read no faster.
            await self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_at(self._sent_s + self._window_s, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self._tasks.create_task(self.flush())

    async def flush(self) -> None:
        """Send what is held, after what is being sent; what could not be sent is held on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        async with self._sending:
            if (count := len(self._held)) and self._strand is not None:
                self._sent_s = self._loop.time()
                await self._send(self._strand, "".join(self._held[:count]))
                del self._held[:count]
