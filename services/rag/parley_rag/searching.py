"""Search by meaning, by words or by both, with passages that say nearly the same shown once."""

import logging
import time
from collections import Counter

from parley_contracts.citations import Passage
from parley_contracts.errors import ParleyError
from parley_contracts.npu import VectorSpace
from parley_contracts.rag import Search, SearchMode, SearchResults

from parley_rag.database import Database
from parley_rag.embedding import Embedder
from parley_rag.fusion import Ranked, rank, reordered
from parley_rag.measures import Measures
from parley_rag.near_duplicates import ShownTexts
from parley_rag.passages import Passages
from parley_rag.relevance_feedback import LANGUAGES, PASSAGES, feedback_scores
from parley_rag.reranking import Reranker
from parley_rag.search_days import SearchDays
from parley_rag.search_place import Place, find_place
from parley_rag.vectors import VectorIndex
from parley_rag.words import Terms

_log = logging.getLogger("parley.rag")
_MIN_CANDIDATES = 50
_CANDIDATES_A_RESULT = 5
_FLOAT_BYTES = 4
_SPARE = 2  # passages read for one that is shown, as some are nearly the same or gone
_NO_TERMS: Terms = ([], [])


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
        reranker: Reranker | None,
        measures: Measures,
        days: SearchDays,
    ) -> None:
        self._database = database
        self._passages = passages
        self._index = index
        self._embedder = embedder
        self._embed_budget_s = embed_budget_s
        self._reranker = reranker
        self._measures = measures
        self._days = days

    async def search(self, request: Search) -> SearchResults:
        """Return the best passages; `degraded` names what did not take part that should have."""
        started_s = time.monotonic()
        place = await find_place(self._database, request)
        if place is None:
            return SearchResults(results=(), had_documents=False)
        vector = None if request.mode is SearchMode.WORDS else await self._vector(request, place.space)
        mode = SearchMode.WORDS if vector is None else request.mode
        degraded = ["npu"] if mode is not request.mode else []
        ranked = await self._ranked(place, vector, mode, request.limit)
        known: dict[str, Passage] = {}
        if self._reranker is not None and mode is SearchMode.HYBRID and ranked:
            again = await self._reranked(request, self._reranker, ranked, known)
            ranked = again or ranked
            degraded += [] if again else ["reranker"]
        results = await self._shown(request, ranked, known)
        self._measures.note_search(mode, results, time.monotonic() - started_s)
        self._days.note_search(request.owner_id, request.collections, results)
        return SearchResults(results=tuple(results), degraded=tuple(degraded))

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

    async def _ranked(self, place: Place, vector: bytes | None, mode: SearchMode, results: int) -> Ranked:
        """Return candidates, best first; the default mode moves up what is like the best ones."""
        limit = max(_MIN_CANDIDATES, _CANDIDATES_A_RESULT * results)
        terms = _NO_TERMS if mode is SearchMode.MEANING else place.terms
        candidates = await self._index.search(terms, vector, place.scope, limit)
        ranked = rank(candidates, mode, most_by_words=place.most_by_words, limit=limit)
        if not ranked or mode is not SearchMode.HYBRID or not place.languages <= LANGUAGES:
            return ranked
        first = ranked[:PASSAGES]
        vectors = await self._index.vectors([id_ for id_, _ in first])
        return reordered(ranked, feedback_scores(first, vectors))

    async def _reranked(
        self, request: Search, reranker: Reranker, ranked: Ranked, known: dict[str, Passage]
    ) -> Ranked | None:
        """Return the candidates with the first few in the reranker's order; None when it is late or away."""
        first = [id_ for id_, _ in ranked[: reranker.passages]]
        known |= await self._passages.by_id(request.owner_id, first)
        texts = {id_: _read_text(known[id_]) for id_ in first if id_ in known}
        if not texts:
            return ranked
        try:
            scores = await reranker.score(request.query, tuple(texts.values()))
        except ParleyError as error:
            _log.warning("passages not reranked", extra={"code": error.code})
            return None
        return reordered(ranked, dict(zip(texts, scores, strict=True)))

    async def _shown(self, request: Search, ranked: Ranked, known: dict[str, Passage]) -> list[Passage]:
        """Return the best passages, of those nearly the same only the first; few are read in vain."""
        results: list[Passage] = []
        texts = ShownTexts()
        per_document: Counter[str] = Counter()
        for at in range(0, len(ranked), _SPARE * request.limit):
            some = ranked[at : at + _SPARE * request.limit]
            if unread := [id_ for id_, _ in some if id_ not in known]:
                known |= await self._passages.by_id(request.owner_id, unread)
            for id_, score in some:
                passage = known.get(id_)
                if passage is None or per_document[passage.document.id] == request.max_per_document:
                    continue
                if not texts.add(passage.text):
                    continue
                per_document[passage.document.id] += 1
                results.append(passage.model_copy(update={"score": round(score, 6)}))
                if len(results) == request.limit:
                    return results
        return results


def _read_text(passage: Passage) -> str:
    """Return what a reranker reads: a passage below its headings."""
    return f"{passage.heading}\n{passage.text}" if passage.heading else passage.text
