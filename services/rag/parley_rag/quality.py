"""Verdicts on citations, and how well retrieval does: what is asked about them, answered."""

from collections.abc import Callable

from parley_contracts import subjects
from parley_contracts.feedback import (
    CitationFeedback,
    CountCitations,
    DeleteFeedback,
    FeedbackList,
    ListFeedback,
    Quality,
    RateCitation,
    ReadQuality,
    ScoreBand,
    Verdict,
)
from parley_contracts.replies import Done
from parley_messaging import Service

from parley_rag.clock import now_ms
from parley_rag.database import Database
from parley_rag.document_collections import no_such_collection
from parley_rag.feedback import Feedback
from parley_rag.measures import Measures
from parley_rag.search_days import BANDS, DAY_MS, SearchDays
from parley_rag.tables import CollectionRow


class QualityHandlers:
    """What the service answers about its own results."""

    def __init__(
        self,
        database: Database,
        feedback: Feedback,
        days: SearchDays,
        measures: Measures,
        *,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._database = database
        self._feedback = feedback
        self._days = days
        self._measures = measures
        self._clock_ms = clock_ms

    async def rate(self, request: RateCitation) -> CitationFeedback:
        kept = await self._feedback.rate(request)
        self._measures.feedback.labels(request.verdict.value).inc()
        return kept

    async def list(self, request: ListFeedback) -> FeedbackList:
        found, cursor = await self._feedback.page(request)
        return FeedbackList(feedback=tuple(found), next_cursor=cursor)

    async def delete(self, request: DeleteFeedback) -> Done:
        await self._feedback.remove(request.owner_id, request.turn_id, request.n)
        return Done()

    async def count_citations(self, request: CountCitations) -> Done:
        self._days.note_citations(request.owner_id, request.counts)
        return Done()

    async def read(self, request: ReadQuality) -> Quality:
        owner_id, name = request.owner_id, request.collection
        async with self._database.reading() as session:
            collection = await session.get(CollectionRow, (owner_id, name))
        if collection is None:
            raise no_such_collection()
        today = self._clock_ms() // DAY_MS
        # One of this name that was removed before is another collection.
        since_day = max(today - request.days + 1, collection.created_at_ms // DAY_MS)
        sums = await self._days.sums(owner_id, name, since_day)
        verdicts = await self._feedback.verdicts(owner_id, name, since_day * DAY_MS)
        return Quality(
            collection=name,
            days=request.days,
            searches=sums["searches"],
            empty_searches=sums["empty"],
            answered_searches=sums["answered"],
            best_scores=tuple(ScoreBand(least=least, searches=sums[column]) for column, least in BANDS),
            passages_given=sums["given"],
            passages_cited=sums["cited"],
            verdicts_up=verdicts.get(Verdict.UP, 0),
            verdicts_down=verdicts.get(Verdict.DOWN, 0),
        )


def bind_quality(service: Service, handlers: QualityHandlers) -> None:
    """Answer the subjects of feedback and quality."""
    service.answer(subjects.RAG_RATE_CITATION, RateCitation, handlers.rate)
    service.answer(subjects.RAG_LIST_FEEDBACK, ListFeedback, handlers.list)
    service.answer(subjects.RAG_DELETE_FEEDBACK, DeleteFeedback, handlers.delete)
    service.answer(subjects.RAG_COUNT_CITATIONS, CountCitations, handlers.count_citations)
    service.answer(subjects.RAG_READ_QUALITY, ReadQuality, handlers.read)
