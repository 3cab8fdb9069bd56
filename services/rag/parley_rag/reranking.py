"""Asks a model that reads query and passage together for a better order of the first few."""

from collections.abc import Sequence
from typing import Protocol

from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import Rerank, RerankScores

from parley_rag.embedding import Requests


class Reranker(Protocol):
    """Says how well texts answer a query."""

    @property
    def passages(self) -> int:
        """How many of the best passages are to be reranked."""
        ...

    async def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """Return a score a text, higher is better; ParleyError when it is away or late."""
        ...


class NpuReranker:
    """Asks the npu service."""

    def __init__(self, bus: Requests, *, passages: int, budget_s: float) -> None:
        self._bus = bus
        self._passages = passages
        self._budget_s = budget_s

    @property
    def passages(self) -> int:
        return self._passages

    async def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        reply = await self._bus.request(
            subjects.NPU_RERANK,
            Rerank(query=query, texts=tuple(texts)),
            RerankScores,
            timeout_s=self._budget_s,
        )
        if len(reply.scores) != len(texts):
            raise ParleyError(ErrorCode.UPSTREAM_FAILED, "The reranker answered with too few scores.")
        return reply.scores
