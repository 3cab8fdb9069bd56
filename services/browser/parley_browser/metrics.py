"""What the browser service counts, for Prometheus."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from time import perf_counter

from parley_contracts.errors import ErrorCode, ParleyError
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class ReadMetrics:
    """Reads by outcome (`ok` or an error code), how long they took and how many are under way."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._reads = Counter(
            "parley_browser_reads", "Pages read, by outcome.", ["outcome"], registry=registry
        )
        self._seconds = Histogram(
            "parley_browser_read_seconds",
            "Time a read took, waiting included.",
            buckets=(0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60),
            registry=registry,
        )
        self._open = Gauge("parley_browser_open_reads", "Reads under way or waiting.", registry=registry)

    @contextmanager
    def measure(self) -> Generator[None]:
        """Count one read and time it."""
        started = perf_counter()
        outcome = ErrorCode.INTERNAL.value
        try:
            with self._open.track_inprogress():
                yield
            outcome = "ok"
        except asyncio.CancelledError:
            outcome = ErrorCode.CANCELLED.value
            raise
        except ParleyError as error:
            outcome = error.code.value
            raise
        finally:
            self._reads.labels(outcome).inc()
            self._seconds.observe(perf_counter() - started)
