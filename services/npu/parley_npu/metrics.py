"""What operators see of the npu service."""

from collections.abc import Callable
from typing import Literal

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


class BackendMetrics:
    """What each backend of the chain does."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._serving = Gauge(
            "parley_npu_backend_serving",
            "1 while a backend is proven to give the right vectors.",
            ["backend"],
            registry=registry,
        )
        self._parity = Gauge(
            "parley_npu_backend_parity",
            "Least cosine to the reference vectors at the last passed proof.",
            ["backend"],
            registry=registry,
        )
        self._texts = Counter("parley_npu_backend_texts", "Texts computed.", ["backend"], registry=registry)
        self._failures = Counter(
            "parley_npu_backend_failures",
            "Batches that failed and went on to the next backend.",
            ["backend"],
            registry=registry,
        )

    def watch(self, backend: str, is_serving: Callable[[], float]) -> None:
        self._serving.labels(backend).set_function(is_serving)
        self._texts.labels(backend)
        self._failures.labels(backend)

    def set_parity(self, backend: str, cosine: float) -> None:
        self._parity.labels(backend).set(cosine)

    def count_texts(self, backend: str, texts: int) -> None:
        self._texts.labels(backend).inc(texts)

    def count_failure(self, backend: str) -> None:
        self._failures.labels(backend).inc()


class CacheMetrics:
    """Where vectors were found, and what could not be kept."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._texts = Counter(
            "parley_npu_cache_texts",
            "Texts looked up, by where their vectors were: memory, redis or nowhere (miss).",
            ["found"],
            registry=registry,
        )
        self._dropped = Counter(
            "parley_npu_cache_dropped_texts", "Vectors that Redis could not be given.", registry=registry
        )

    def count(self, found: Literal["memory", "redis", "miss"], texts: int) -> None:
        self._texts.labels(found).inc(texts)

    def count_dropped(self, texts: int) -> None:
        self._dropped.inc(texts)
