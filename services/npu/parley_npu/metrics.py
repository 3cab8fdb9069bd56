"""What operators see of the npu service."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from parley_npu.waiting import Size

BATCH_TEXTS = (1, 2, 4, 8, 16, 32)
SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class EmbedMetrics:
    """Batches, requests and refusals of one service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._batches = Histogram(
            "parley_npu_batch_texts", "Texts computed together.", buckets=BATCH_TEXTS, registry=registry
        )
        self._requests = Histogram(
            "parley_npu_embed_seconds",
            "From a request's arrival to its vectors.",
            ["size"],
            buckets=SECONDS,
            registry=registry,
        )
        self._queue = Gauge(
            "parley_npu_queue_texts", "Texts waiting or being computed.", ["size"], registry=registry
        )
        self._refusals = Counter(
            "parley_npu_refused_requests", "Requests refused as overloaded.", ["size"], registry=registry
        )

    def watch_queue(self, size: Size, texts: Callable[[], float]) -> None:
        self._queue.labels(size).set_function(texts)

    def observe_batch(self, texts: int) -> None:
        self._batches.observe(texts)

    def observe_request(self, size: Size, seconds: float) -> None:
        self._requests.labels(size).observe(seconds)

    def count_refusal(self, size: Size) -> None:
        self._refusals.labels(size).inc()
