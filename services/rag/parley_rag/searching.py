"""Hybrid search: the query's meaning and its words, fused, with equal passages shown once."""

import logging
import time
from dataclasses import dataclass

from parley_contracts.citations import Passage
from parley_contracts.errors import ParleyError
from parley_contracts.rag import DocumentStatus, Search, SearchResults
from sqlalchemy import exists, select

from parley_rag.database import Database
from parley_rag.embedding import Embedder, VectorSpace
from parley_rag.fusion import fuse
from parley_rag.measures import Measures
from parley_rag.passages import Passages
from parley_rag.tables import CollectionRow, DocumentRow, VectorSpaceRow
from parley_rag.vector_space import space_of
from parley_rag.vectors import Scope, VectorIndex
from parley_rag.word_statistics import read_statistics
from parley_rag.words import Terms, asked_terms, by_rarity

_log = logging.getLogger("parley.rag")
_MIN_CANDIDATES = 50
_CANDIDATES_A_RESULT = 5
_FLOAT_BYTES = 4
_SPARE = 2  # passages read for one that is shown, as some are equal or gone


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a search looks, and the words that it looks for."""

    scope: Scope
    space: VectorSpace
    terms: Terms


class Searching:
    """Answers searches."""

    def __init__(
        self,
        *,
        database: Database,
        passages: Passages,
        index: VectorIndex,
        embedder: Embedder,
        embed_budget_s: float,
        measures: Measures,
    ) -> None:
        self._database = database
        self._passages = passages
        self._index = index
        self._embedder = embedder
        self._embed_budget_s = embed_budget_s
        self._measures = measures

    async def search(self, request: Search) -> SearchResults:
        """Return the best passages; `degraded` names npu when only words were searched."""
        started_s = time.monotonic()
        place = await self._place(request)
        if place is None:
            return SearchResults(results=())
        vector = await self._vector(request, place.space)
        limit = max(_MIN_CANDIDATES, _CANDIDATES_A_RESULT * request.limit)
        ranked = fuse(await self._index.search(place.terms, vector, place.scope, limit))
        results = await self._distinct(request.owner_id, ranked, request.limit)
        self._measures.searches.labels("hybrid" if vector else "words").inc()
        self._measures.search_s.observe(time.monotonic() - started_s)
        return SearchResults(results=tuple(results), degraded=() if vector else ("npu",))

    async def _place(self, request: Search) -> _Place | None:
        """Return where and for what to search; None when the owner has nothing ready there."""
        inside = [DocumentRow.owner_id == request.owner_id]
        if request.collections is not None:
            inside.append(DocumentRow.collection.in_(request.collections))
        if request.document_ids is not None:
            inside.append(DocumentRow.id.in_(request.document_ids))
        ready = exists().where(*inside, DocumentRow.status == DocumentStatus.READY)
        hidden = select(DocumentRow.id).where(
            DocumentRow.owner_id == request.owner_id,
            DocumentRow.status != DocumentStatus.READY,
            DocumentRow.chunks_done > 0,
        )
        languages = (
            select(CollectionRow.language).where(CollectionRow.owner_id == request.owner_id).distinct()
        )
        if request.collections is not None:
            languages = languages.where(CollectionRow.name.in_(request.collections))
        async with self._database.reading() as session:
            row = await session.scalar(select(VectorSpaceRow).where(ready))
            if row is None:
                return None
            hidden_ids = tuple(await session.scalars(hidden))
            asked = asked_terms(request.query, await session.scalars(languages))
            containing, passages = await read_statistics(session, request.owner_id, asked)
        scope = Scope(
            request.owner_id,
            collections=request.collections,
            document_ids=request.document_ids,
            hidden_document_ids=hidden_ids,
            content_types=request.content_types,
            dated_from_ms=request.dated_from_ms,
            dated_before_ms=request.dated_before_ms,
        )
        return _Place(scope, space_of(row), by_rarity(asked, containing, passages))

    async def _vector(self, request: Search, space: VectorSpace) -> bytes | None:
        """Return the query's vector in the index's space: the caller's, else npu's, else None."""
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

    async def _distinct(self, owner_id: str, ranked: list[tuple[str, float]], limit: int) -> list[Passage]:
        """Return the best passages, of equal texts only the first; no more are read than needed."""
        results: list[Passage] = []
        seen: set[str] = set()
        for at in range(0, len(ranked), _SPARE * limit):
            some = ranked[at : at + _SPARE * limit]
            found = await self._passages.by_id(owner_id, [id_ for id_, _ in some])
            for id_, score in some:
                stored = found.get(id_)
                if stored is not None and stored.text_hash not in seen and len(results) < limit:
                    seen.add(stored.text_hash)
                    results.append(stored.passage.model_copy(update={"score": round(score, 6)}))
            if len(results) == limit:
                break
        return results
