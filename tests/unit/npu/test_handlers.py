import numpy as np
import pytest
from parley_contracts.npu import Embed, Embeddings
from parley_npu.backends.chain import BackendChain
from parley_npu.embedding_lanes import EmbeddingLanes, LaneLimits
from parley_npu.handlers import EmbedHandlers
from parley_npu.metrics import BackendMetrics, EmbedMetrics
from prometheus_client import CollectorRegistry

from tests.fakes.embedding import FakeNpu, HashEmbedder


@pytest.mark.parametrize("kind", ["service", "fake"])
async def test_vectors_travel_as_little_endian_float32_rows(kind: str) -> None:
    limits = LaneLimits(bulk_lanes=1, batch_tokens=128, small_texts=16, bulk_texts=256)
    fake, registry = HashEmbedder(), CollectorRegistry()
    chain = BackendChain([fake], fake.space, fake.parity(), BackendMetrics(registry), threads=2)
    lanes = EmbeddingLanes(fake, chain, None, limits, EmbedMetrics(registry))
    request = Embed(texts=("first", "second text"))
    async with chain.running(), lanes.running():
        reply = await (FakeNpu().embed(request) if kind == "fake" else EmbedHandlers(lanes).embed(request))

    reply = Embeddings.model_validate_json(reply.model_dump_json())
    assert (reply.model, reply.engine, reply.dimensions) == ("hashed-words", "hashed-words", 384)
    assert reply.computed_by == "hashed-words"
    rows = np.frombuffer(reply.vectors, "<f4").reshape(2, 384)
    np.testing.assert_array_equal(rows, HashEmbedder().embed(request.texts))
