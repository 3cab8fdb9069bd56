"""Lanes with a cache: only what is not known is computed, and each vector stands in its own row."""

from collections.abc import Sequence

import numpy as np
from parley_npu.backends.chain import BackendChain
from parley_npu.backends.embedder import CutText, Vectors
from parley_npu.cache import VectorCache
from parley_npu.embedding_lanes import EmbeddingLanes, LaneLimits
from parley_npu.metrics import BackendMetrics, CacheMetrics, EmbedMetrics
from parley_npu.redis_values import RedisValues
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.conftest import free_port
from tests.fakes.embedding import PROOF, HashEmbedder


class Counting(HashEmbedder):
    def __init__(self) -> None:
        self.computed: list[str] = []

    def infer(self, batch: Sequence[CutText]) -> Vectors:
        self.computed += [text.text for text in batch if text.text not in PROOF]
        return super().infer(batch)


async def test_only_what_is_not_known_is_computed_and_rows_keep_their_places() -> None:
    backend, registry = Counting(), CollectorRegistry()
    redis = Redis(port=free_port(), retry=Retry(NoBackoff(), 0))
    cache = VectorCache(backend.space, RedisValues(redis, 60), CacheMetrics(registry))
    chain = BackendChain([backend], backend.space, backend.parity(), BackendMetrics(registry), threads=2)
    limits = LaneLimits(bulk_lanes=1, batch_tokens=64, small_texts=64, bulk_texts=256)
    lanes = EmbeddingLanes(backend, chain, cache, limits, EmbedMetrics(registry))
    async with cache.running(), chain.running(), lanes.running():
        first = await lanes.embed(["b", "d"])
        second = await lanes.embed(["a", "b", "c", "d", "e"])
        third = await lanes.embed(["e", "a"])

    assert (first.computed_by, second.computed_by, third.computed_by) == (
        "hashed-words",
        "cache,hashed-words",
        "cache",
    )
    assert sorted(backend.computed) == ["a", "b", "c", "d", "e"]
    np.testing.assert_array_equal(second.vectors, HashEmbedder().embed(["a", "b", "c", "d", "e"]))
    np.testing.assert_array_equal(third.vectors, HashEmbedder().embed(["e", "a"]))
