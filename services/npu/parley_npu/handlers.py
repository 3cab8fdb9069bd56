"""What the npu service answers."""

from parley_contracts import subjects
from parley_contracts.npu import Embed, Embeddings
from parley_messaging import Service

from parley_npu.embedding_lanes import EmbeddingLanes

# Above what the lanes take in hand: they refuse what is too much, and no request waits unseen before them.
CONCURRENCY = 1024


class EmbedHandlers:
    """Answers `npu.embed`."""

    def __init__(self, lanes: EmbeddingLanes) -> None:
        self._lanes = lanes

    async def embed(self, request: Embed) -> Embeddings:
        vectors = await self._lanes.embed(request.texts)
        embedder = self._lanes.embedder
        return Embeddings(
            model=embedder.model,
            engine=embedder.engine,
            dimensions=embedder.dimensions,
            vectors=vectors.astype("<f4", copy=False).tobytes(),
        )


def bind(service: Service, handlers: EmbedHandlers) -> None:
    service.answer(subjects.NPU_EMBED, Embed, handlers.embed, concurrency=CONCURRENCY)
