"""Which documents need a job: begun anew, read again or cancelled; lost jobs are published again."""

import asyncio
import logging
from collections.abc import Callable

from parley_contracts import headers, subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import Document, DocumentStatus, IngestDocument, original_key
from parley_messaging import Bus, NotStoredError, queues
from parley_messaging.acting import acting_for, system_of
from parley_messaging.message_headers import outgoing
from sqlalchemy import ColumnElement, and_, delete, or_, select, update

from parley_rag.clock import now_ms
from parley_rag.database import Database
from parley_rag.document_collections import no_such_collection
from parley_rag.document_listing import as_document
from parley_rag.documents import STOPPED, UNDER_WAY, begin_anew, owned, this
from parley_rag.removals import members_of
from parley_rag.tables import CollectionRow, DocumentRow, TermRow

_log = logging.getLogger("parley.rag")
_LOST_MS = 120_000  # from the note that a job is published to its being in the queue: uploads come between
_SWEEP_S = 30.0
_SWEPT_AT_ONCE = 500


class Jobs:
    """Publishes jobs, and knows from the table which are due."""

    def __init__(self, database: Database, bus: Bus, clock_ms: Callable[[], int] = now_ms) -> None:
        self._database = database
        self._bus = bus
        self._clock_ms = clock_ms
        self._passed_ms = 0
        self._is_wanted = asyncio.Event()

    async def publish(self, owner_id: str, document_id: str) -> None:
        """Queue the job of a document; ParleyError `unavailable` when the queue does not take it."""
        key = original_key(owner_id, document_id)
        job = IngestDocument(owner_id=owner_id, document_id=document_id, object_key=key)
        with acting_for(system_of(owner_id)):
            vouched = self._bus.claims.of_job(subjects.RAG_INGEST)
        extra = {headers.CORRELATION_ID: document_id, **vouched}
        try:
            await self._bus.store(
                subjects.RAG_INGEST, job.model_dump_json().encode(), headers=outgoing(extra=extra)
            )
        except NotStoredError:
            raise ParleyError(ErrorCode.UNAVAILABLE, "The job could not be queued now.") from None

    def note_started(self, document: DocumentRow) -> None:
        """Note that the queue has come to this document: jobs from long before were delivered or lost."""
        self._passed_ms = max(self._passed_ms, document.job_at_ms or 0)

    # -- what owners ask for -----------------------------------------------------------------------

    async def cancel(self, owner_id: str, document_id: str) -> list[Document]:
        """Cancel a document, and what came in it; return all that were.

        Raises:
            ParleyError: `not_found` when it is not the owner's, `conflict` when it is through.
        """
        async with self._database.writing() as session:
            row = await owned(session, owner_id, document_id)
            if row.status not in (*UNDER_WAY, DocumentStatus.CANCELLED):
                raise ParleyError(
                    ErrorCode.CONFLICT, f"The document is {row.status} already.", field="document_id"
                )
            members = await members_of(session, row)
            cancelled = [row, *(one for one in members if one.status in UNDER_WAY)]
            for one in cancelled:
                one.status, one.error = DocumentStatus.CANCELLED, None
                if one.job_at_ms is None:  # an unpacked archive: its job is over, and another one clears it
                    one.job_at_ms = 0
            found = [as_document(one) for one in cancelled]
        self._is_wanted.set()
        return found

    async def reindex(self, owner_id: str, document_id: str) -> Document:
        """Have a document read again, and what came in it; one that is under way is let be.

        Raises:
            ParleyError: `not_found` when it is not the owner's.
        """
        async with self._database.writing() as session:
            row = await owned(session, owner_id, document_id)
            for one in (row, *await members_of(session, row)):
                if one.status in STOPPED and one.object_key is not None:
                    await begin_anew(session, one, 0)
                elif one.status == DocumentStatus.READY and (one.chunks or one.members is None):
                    one.is_reread, one.job_at_ms, one.error = True, 0, None
            found = as_document(row)
        self._is_wanted.set()
        return found

    async def reindex_collection(self, owner_id: str, name: str) -> int:
        """Have all documents of a collection read again; return how many.

        Raises:
            ParleyError: `not_found` when it is not the owner's.
        """
        inside = (DocumentRow.owner_id == owner_id, DocumentRow.collection == name)
        has_text = or_(DocumentRow.chunks > 0, DocumentRow.members.is_(None))
        async with self._database.writing() as session:
            if await session.get(CollectionRow, (owner_id, name)) is None:
                raise no_such_collection()
            stopped = list(
                await session.scalars(
                    select(DocumentRow).where(
                        *inside, DocumentRow.status.in_(STOPPED), DocumentRow.object_key.is_not(None)
                    )
                )
            )
            for row in stopped:
                await begin_anew(session, row, 0)
            ready = await session.scalars(
                update(DocumentRow)
                .where(*inside, DocumentRow.status == DocumentStatus.READY, has_text)
                .values(is_reread=True, job_at_ms=0, error=None)
                .returning(DocumentRow.id)
            )
            count = len(stopped) + len(ready.all())
        self._is_wanted.set()
        return count

    async def index_all_again(self) -> None:
        """Have the stored passages of every document indexed again: the index has lost them."""
        async with self._database.writing() as session:
            await session.execute(delete(TermRow))
            await session.execute(
                update(DocumentRow).where(DocumentRow.chunks_done > 0).values(chunks_done=0)
            )
            ready = await session.scalars(
                update(DocumentRow)
                .where(DocumentRow.status == DocumentStatus.READY, DocumentRow.chunks > 0)
                .values(job_at_ms=0)
                .returning(DocumentRow.id)
            )
            count = len(ready.all())
        if count:
            _log.warning(
                "the index was made anew: its documents are indexed again", extra={"documents": count}
            )

    # -- the sweep ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Publish what is due, when asked to and from time to time, until cancelled."""
        while True:
            self._is_wanted.clear()
            try:
                more = await self.sweep() == _SWEPT_AT_ONCE
            except Exception:  # noqa: BLE001 - the boundary of the loop: the next sweep may pass
                _log.exception("sweep failed")
                more = False
            try:
                async with asyncio.timeout(0 if more else _SWEEP_S):
                    await self._is_wanted.wait()
            except TimeoutError:
                continue

    async def sweep(self) -> int:
        """Publish the jobs that are due and those that were lost; return how many.

        A job is lost when none is in the queue, or when the queue has come to later ones.
        """
        state = await self._bus.queue_state(queues.INGEST)
        before_ms = self._clock_ms() - _LOST_MS
        is_lost: ColumnElement[bool] = and_(
            DocumentRow.status == DocumentStatus.QUEUED,
            DocumentRow.job_at_ms < min(before_ms, self._passed_ms - _LOST_MS),
        )
        if state.waiting == state.running == 0:
            is_lost = DocumentRow.job_at_ms < before_ms
        query = (
            select(DocumentRow)
            .where(DocumentRow.job_at_ms.is_not(None), or_(DocumentRow.job_at_ms == 0, is_lost))
            .order_by(DocumentRow.job_at_ms, DocumentRow.created_at_ms)
            .limit(_SWEPT_AT_ONCE)
        )
        async with self._database.reading() as session:
            due = list(await session.scalars(query))
        for row in due:
            await self._publish_again(row)
        if due:
            _log.info("jobs published again", extra={"jobs": len(due)})
        return len(due)

    async def _publish_again(self, row: DocumentRow) -> None:
        """Publish a job unless another process has just done so."""
        async with self._database.writing() as session:
            taken = await session.scalar(
                update(DocumentRow)
                .where(*this(row.owner_id, row.id), DocumentRow.job_at_ms == row.job_at_ms)
                .values(job_at_ms=self._clock_ms())
                .returning(DocumentRow.id)
            )
        if taken is not None:
            await self.publish(row.owner_id, row.id)
