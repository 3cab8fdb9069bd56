"""What owners think of citations: ids and offsets with a verdict, one for each citation."""

from collections.abc import Callable

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.feedback import CitationFeedback, ListFeedback, RateCitation, Verdict
from sqlalchemy import bindparam, delete, func, select, text, tuple_

from parley_rag.clock import now_ms
from parley_rag.database import Database
from parley_rag.erasure import refuse_erased
from parley_rag.tables import DocumentRow, FeedbackRow, Storable

_KEEP = text(
    "INSERT INTO rag_feedback"
    " (owner_id, turn_id, n, document_id, collection, start_offset, end_offset, verdict, note, at_ms)"
    " VALUES (:owner_id, :turn_id, :n, :document_id, :collection, :start_offset, :end_offset, :verdict,"
    " :note, :at_ms)"
    " ON CONFLICT (owner_id, turn_id, n) DO UPDATE"
    " SET verdict = excluded.verdict, note = excluded.note, at_ms = excluded.at_ms"
    " WHERE rag_feedback.verdict <> excluded.verdict"
    " OR coalesce(rag_feedback.note, '') <> coalesce(excluded.note, '')"
).bindparams(*(bindparam(name, type_=Storable()) for name in ("turn_id", "document_id", "note")))


class Feedback:
    """The feedback table. Every query names the owner."""

    def __init__(self, database: Database, *, clock_ms: Callable[[], int] = now_ms) -> None:
        self._database = database
        self._clock_ms = clock_ms

    async def rate(self, request: RateCitation) -> CitationFeedback:
        """Keep a verdict in place of an earlier one; the same again changes nothing.

        ParleyError `not_found` for a user who is erased.
        """
        collection_of = select(DocumentRow.collection).where(
            DocumentRow.owner_id == request.owner_id, DocumentRow.id == request.document_id
        )
        async with self._database.writing() as session:
            await refuse_erased(session, request.owner_id)
            values = {
                "owner_id": request.owner_id,
                "turn_id": request.turn_id,
                "n": request.n,
                "document_id": request.document_id,
                "collection": await session.scalar(collection_of),
                "start_offset": request.start,
                "end_offset": request.end,
                "verdict": request.verdict.value,
                "note": request.note or None,
                "at_ms": self._clock_ms(),
            }
            await session.execute(_KEEP, values)
            key = (request.owner_id, request.turn_id, request.n)
            return _as_feedback(await session.get_one(FeedbackRow, key))

    async def page(self, request: ListFeedback) -> tuple[list[CitationFeedback], str | None]:
        """Return the owner's verdicts, newest first, and the cursor of the next page."""
        query = select(FeedbackRow).where(FeedbackRow.owner_id == request.owner_id)
        place = (FeedbackRow.at_ms, FeedbackRow.turn_id, FeedbackRow.n)
        if request.turn_id is not None:
            query = query.where(FeedbackRow.turn_id == request.turn_id)
        if request.cursor is not None:
            query = query.where(tuple_(*place) < _parse_cursor(request.cursor))
        query = query.order_by(*(column.desc() for column in place)).limit(request.limit + 1)
        async with self._database.reading() as session:
            rows = list(await session.scalars(query))
        last = rows[request.limit - 1] if len(rows) > request.limit else None
        cursor = None if last is None else f"{last.at_ms}.{last.n}.{last.turn_id}"
        return [_as_feedback(row) for row in rows[: request.limit]], cursor

    async def remove(self, owner_id: str, turn_id: str, n: int) -> None:
        """Take a verdict back; `not_found` when there is none."""
        gone = (
            delete(FeedbackRow)
            .where(FeedbackRow.owner_id == owner_id, FeedbackRow.turn_id == turn_id, FeedbackRow.n == n)
            .returning(FeedbackRow.n)
        )
        async with self._database.writing() as session:
            if await session.scalar(gone) is None:
                raise ParleyError(ErrorCode.NOT_FOUND, "There is no verdict on that citation.", field="n")

    async def verdicts(self, owner_id: str, collection: str, since_ms: int) -> dict[Verdict, int]:
        """Return how many verdicts there are on citations of a collection."""
        query = (
            select(FeedbackRow.verdict, func.count())
            .where(
                FeedbackRow.owner_id == owner_id,
                FeedbackRow.collection == collection,
                FeedbackRow.at_ms >= since_ms,
            )
            .group_by(FeedbackRow.verdict)
        )
        async with self._database.reading() as session:
            return {Verdict(verdict): count for verdict, count in (await session.execute(query)).all()}


def _as_feedback(row: FeedbackRow) -> CitationFeedback:
    return CitationFeedback(
        turn_id=row.turn_id,
        n=row.n,
        document_id=row.document_id,
        collection=row.collection,
        start=row.start_offset,
        end=row.end_offset,
        verdict=Verdict(row.verdict),
        note=row.note,
        at_ms=row.at_ms,
    )


def _parse_cursor(cursor: str) -> tuple[int, str, int]:
    at_ms, _, rest = cursor.partition(".")
    n, _, turn_id = rest.partition(".")
    if not (at_ms.isdecimal() and len(at_ms) < 19 and n.isdecimal() and len(n) < 10 and turn_id):
        raise ParleyError(ErrorCode.INVALID_REQUEST, "This cursor was not given out here.", field="cursor")
    return int(at_ms), turn_id, int(n)
