"""The service's settings."""

from parley_contracts.npu import MAX_RERANKED
from parley_contracts.rag import Language
from parley_messaging import ServiceSettings
from pydantic import Field


class RagSettings(ServiceSettings):
    """From the environment, prefix `PARLEY_`."""

    rag_language: Language = Field(
        default=Language.ENGLISH, description="Language of the words of new collections."
    )
    rag_dimensions: int = Field(default=384, ge=8, description="Length of the embedding model's vectors.")
    rag_qdrant_collection: str = Field(
        default="parley_passages",
        description="Begin of the collection's name on the Qdrant server, when `QDRANT_URL` is set.",
    )
    rag_ingest_slots: int = Field(default=1, ge=1, le=64, description="Documents ingested at the same time.")
    rag_passage_chars: int = Field(
        default=900, ge=200, le=4000, description="Longest passage, in characters."
    )
    rag_read_timeout_s: float = Field(default=120.0, gt=0, description="Longest time to read one document.")
    rag_read_memory_bytes: int = Field(
        default=1 << 30, ge=1 << 28, description="Address space of the process that reads a document."
    )
    rag_embed_budget_s: float = Field(
        default=0.5, gt=0, description="Longest wait for a query's vector before only words are searched."
    )
    rag_rerank: bool = Field(
        default=False,
        description="Have npu's reranker put the best passages in order.",
    )
    rag_rerank_passages: int = Field(
        default=20, ge=2, le=MAX_RERANKED, description="How many passages are reranked."
    )
    rag_rerank_budget_s: float = Field(
        default=0.4, gt=0, description="Longest wait for the reranker before the order stays as it is."
    )
