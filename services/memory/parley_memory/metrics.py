"""What the memory service counts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

log = logging.getLogger("parley.memory")


class MemoryMetrics:
    """Counters of stores and events, and how many conversations there are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._stores = Counter(
            "parley_memory_stores",
            "Stores that were acknowledged, by what was stored and whether it was new.",
            ["kind", "result"],
            registry=registry,
        )
        self.events_published = Counter(
            "parley_memory_events_published", "Stored turns that the bus was told of.", registry=registry
        )
        self._conversations = Gauge(
            "parley_memory_conversations", "Conversations of all owners.", registry=registry
        )

    def count_store(self, kind: str, *, is_new: bool) -> None:
        """Count an acknowledged store."""
        self._stores.labels(kind, "new" if is_new else "repeat").inc()

    async def watch_conversations(self, count: Callable[[], Awaitable[int]], *, every_s: float) -> None:
        """Set the number of conversations from `count` until cancelled; no store waits for it."""
        while True:
            try:
                self._conversations.set(await count())
            except Exception:
                log.warning("conversations could not be counted", exc_info=True)
            await asyncio.sleep(every_s)
