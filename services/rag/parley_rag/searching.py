"""Hybrid search: the query's meaning and its words, fused, with equal passages shown once."""

import logging
import time
from dataclasses import replace

from parley_contracts.citations import Passage
from parley_contracts.errors import ParleyError
from parley_contracts.rag import DocumentStatus, Search, SearchResults
from sqlalchemy import select

from parley_rag.database import Database
from parley_rag.embedding import Embedder
from parley_rag.fusion import fuse
from parley_rag.measures import Measures
from parley_rag.passages import Found, Passages
from parley_rag.tables import DocumentRow
from parley_rag.vector_space import VectorSpaces
from parley_rag.vectors import Scope, VectorIndex

_log = logging.getLogger("parley.rag")
_MIN_CANDIDATES = 50
_CANDIDATES_A_RESULT = 5
_FLOAT_BYTES = 4


class Searching:
    """Answers searches."""

    def __init__(
        self,
        *,
        database: Database,
        passages: Passages,
        spaces: VectorSpaces,
        index: VectorIndex,
        embedder: Embedder,
        embed_budget_s: float,
        measures: Measures,
    ) -> None:
        self._database = database
        self._passages = passages
        self._spaces = spaces
        self._index = index
        self._embedder = embedder
        self._embed_budget_s = embed_budget_s
        self._measures = measures

    async def search(self, request: Search) -> SearchResults:
        """Return the best passages; `degraded` names npu when only words were searched."""
        started_s = time.monotonic()
        scope = await self._scope(request)
        if scope is None:
            return SearchResults(results=())
        vector = await self._vector(request)
        limit = max(_MIN_CANDIDATES, _CANDIDATES_A_RESULT * request.limit)
        ranked = fuse(await self._index.search(request.query, vector, scope, limit))
        found = await self._passages.by_id(request.owner_id, [id_ for id_, _ in ranked])
        results = _distinct(ranked, found, request.limit)
        self._measures.searches.labels("hybrid" if vector else "words").inc()
        self._measures.search_s.observe(time.monotonic() - started_s)
        return SearchResults(results=tuple(results), degraded=() if vector else ("npu",))

    async def _scope(self, request: Search) -> Scope | None:
        """Return where to search; None when the owner has nothing ready there."""
        wanted = Scope(request.owner_id, request.collections, request.document_ids)
        query = select(DocumentRow.status, DocumentRow.id).where(DocumentRow.owner_id == request.owner_id)
        if request.collections is not None:
            query = query.where(DocumentRow.collection.in_(request.collections))
        if request.document_ids is not None:
            query = query.where(DocumentRow.id.in_(request.document_ids))
        async with self._database.reading() as session:
            ready = await session.scalar(query.where(DocumentRow.status == DocumentStatus.READY).limit(1))
            unready = query.where(DocumentRow.status != DocumentStatus.READY, DocumentRow.chunks_done > 0)
            hidden = tuple(row.id for row in (await session.execute(unready)).all())
        return replace(wanted, hidden_document_ids=hidden) if ready else None

    async def _vector(self, request: Search) -> bytes | None:
        """Return the query's vector in the index's space: the caller's, else npu's, else None."""
        space = await self._spaces.current()
        if space is None:
            return None
        if (
            request.vector
            and request.engine == space.engine
            and len(request.vector) == space.dimensions * _FLOAT_BYTES
        ):
            return request.vector
        try:
            vectors = await self._embedder.embed((request.query,), self._embed_budget_s)
        except ParleyError as error:
            _log.warning("query not embedded", extra={"code": error.code})
            return None
        if vectors.space != space:
            _log.error(
                "query vector not used: the index was made by another model or engine",
                extra={"index": str(space), "offered": str(vectors.space)},
            )
            return None
        return vectors.rows[0]


def _distinct(ranked: list[tuple[str, float]], found: dict[str, Found], limit: int) -> list[Passage]:
    """Return the best passages, of equal texts only the first."""
    results: list[Passage] = []
    seen: set[str] = set()
    for id_, score in ranked:
        stored = found.get(id_)
        if stored is None or stored.text_hash in seen:
            continue
        seen.add(stored.text_hash)
        results.append(stored.passage.model_copy(update={"score": round(score, 6)}))
        if len(results) == limit:
            break
    return results
