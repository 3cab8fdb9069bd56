"""What the npu service answers."""

from parley_contracts import subjects
from parley_contracts.npu import Embed, Embeddings, Recognise, Rerank
from parley_messaging import Service

from parley_npu.embedding_lanes import EmbeddingLanes
from parley_npu.recognition import TextReader
from parley_npu.reranking import Reranker

# Above what the lanes take in hand: they refuse what is too much, and no request waits unseen before them.
CONCURRENCY = 1024
PAGES_AT_ONCE, PAGES_WAITING = 2, 16
RERANKED_AT_ONCE, RERANKS_WAITING = 1, 32


class EmbedHandlers:
    """Answers `npu.embed`."""

    def __init__(self, lanes: EmbeddingLanes) -> None:
        self._lanes = lanes

    async def embed(self, request: Embed) -> Embeddings:
        embedded = await self._lanes.embed(request.texts)
        space = self._lanes.space
        return Embeddings(
            model=space.model,
            engine=space.engine,
            computed_by=embedded.computed_by,
            dimensions=space.dimensions,
            vectors=embedded.vectors.astype("<f4", copy=False).tobytes(),
        )


def bind(service: Service, embedding: EmbedHandlers, reader: TextReader, reranker: Reranker) -> None:
    service.answer(subjects.NPU_EMBED, Embed, embedding.embed, concurrency=CONCURRENCY)
    service.answer(
        subjects.NPU_RECOGNISE,
        Recognise,
        reader.recognise,
        concurrency=PAGES_AT_ONCE,
        waiting=PAGES_WAITING,
    )
    service.answer(
        subjects.NPU_RERANK,
        Rerank,
        reranker.rerank,
        concurrency=RERANKED_AT_ONCE,
        waiting=RERANKS_WAITING,
    )
