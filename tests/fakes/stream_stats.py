"""What a fake model server has seen of its callers: calls, and how each stream ended."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from tests.fakes.scripted_answers import ConnectionCutError

Piece = TypeVar("Piece", str, bytes)


@dataclass
class Stats:
    """What the fake has seen. An aborted stream: its call, the words sent, and Unix milliseconds."""

    calls: int = 0
    loads: int = 0
    open_streams: int = 0
    completed_streams: int = 0
    aborted_streams: list[dict[str, float]] = field(default_factory=list[dict[str, float]])


async def each(pieces: Iterable[Piece], gap_s: float = 0) -> AsyncIterator[Piece]:
    """Yield pieces at a model's pace."""
    for piece in pieces:
        await asyncio.sleep(gap_s)
        yield piece


class StreamStats:
    """Counts streams, and wakes who waits for a count."""

    def __init__(self) -> None:
        self.stats = Stats()
        self._changed = asyncio.Condition()

    async def until(self, holds: Callable[[Stats], bool], *, within_s: float) -> None:
        """Return once the stats meet a condition; raises TimeoutError after `within_s`."""
        async with asyncio.timeout(within_s), self._changed:
            await self._changed.wait_for(lambda: holds(self.stats))

    async def tell(self) -> None:
        """Have waiting conditions looked at again."""
        async with self._changed:
            self._changed.notify_all()

    async def counted(self, call: int, pieces: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
        """Yield the pieces of one answer, and record how its stream ended."""
        self.stats.open_streams += 1
        await self.tell()
        sent = 0
        is_over = False
        try:
            async for piece in pieces:
                yield piece
                sent += 1
            is_over = True
        except ConnectionCutError:
            is_over = True
            raise
        finally:
            self.stats.open_streams -= 1
            if is_over:
                self.stats.completed_streams += 1
            else:
                at_ms = time.time() * 1000
                self.stats.aborted_streams.append({"call": call, "words": sent, "at_ms": at_ms})
            with contextlib.suppress(asyncio.CancelledError):
                await self.tell()
