"""The ingestion job: original -> text -> passages -> vectors -> ready. Running it again changes nothing."""

import asyncio
import logging
import time
from collections.abc import Callable
from hashlib import sha256
from weakref import WeakValueDictionary

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import DocumentStatus, IngestDocument
from parley_envelope import Originals

from parley_rag.archives import Archives
from parley_rag.clock import now_ms
from parley_rag.documents import Documents
from parley_rag.indexing import Indexing, Stopped
from parley_rag.jobs import Jobs
from parley_rag.load.extraction import UnreadableDocument
from parley_rag.measures import Measures
from parley_rag.passages import Passages
from parley_rag.progress import Progress
from parley_rag.recognition import Recognition
from parley_rag.removals import Removals
from parley_rag.tables import DocumentRow
from parley_rag.vector_space import OtherVectorSpace
from parley_rag.vectors import VectorIndex

_log = logging.getLogger("parley.rag")

_FAILURES = frozenset({"unreadable", "refused"})
"""Outcomes of which the owner is told."""
_UPLOAD_MS = 120_000  # from the request to the original: the job may come first


class Ingestion:
    """Runs ingestion jobs."""

    def __init__(
        self,
        *,
        documents: Documents,
        passages: Passages,
        archives: Archives,
        recognition: Recognition,
        indexing: Indexing,
        jobs: Jobs,
        progress: Progress,
        removals: Removals,
        index: VectorIndex,
        originals: Originals,
        measures: Measures,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._documents = documents
        self._passages = passages
        self._archives = archives
        self._recognition = recognition
        self._indexing = indexing
        self._jobs = jobs
        self._progress = progress
        self._removals = removals
        self._index = index
        self._originals = originals
        self._measures = measures
        self._clock_ms = clock_ms
        self._at_work: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self, job: IngestDocument) -> None:
        """Ingest a document; raises when the job should be tried again later."""
        lock = self._at_work.setdefault(job.document_id, asyncio.Lock())
        async with lock:  # a document that is sent twice is read once
            started_s = time.monotonic()
            outcome = await self._outcome(job)
            self._measures.ingested.labels(outcome).inc()
            _log.info(
                "ingestion finished",
                extra={
                    "document_id": job.document_id,
                    "outcome": outcome,
                    "duration_s": time.monotonic() - started_s,
                },
            )
        await self._progress.tell(job.owner_id, job.document_id)
        if outcome in _FAILURES:
            await self._progress.tell_failure(job.owner_id, job.document_id)
        await self._archives.settle(job.owner_id, job.document_id)
        self._removals.start()

    async def _outcome(self, job: IngestDocument) -> str:
        try:
            return await self._ingest(job)
        except Stopped:
            return await self._stop(job)
        except UnreadableDocument as error:
            await self._fail(job, str(error))
            return "unreadable"
        except OtherVectorSpace:
            await self._fail(
                job,
                "The embedding model has changed since the other documents were added; "
                "vectors of two models cannot be searched together.",
            )
            return "refused"

    async def _ingest(self, job: IngestDocument) -> str:
        try:
            document = await self._documents.row(job.owner_id, job.document_id)
        except ParleyError as error:
            raise Stopped from error
        self._jobs.note_started(document)
        match document.status:
            case DocumentStatus.CANCELLED:
                raise Stopped
            case DocumentStatus.FAILED:
                return "already"
            case DocumentStatus.READY if not document.is_reread:
                if document.chunks_done == document.chunks:
                    await self._documents.settle(document)
                    return "already"
                await self._indexing.complete(document)
            case _:
                if await self._read(job, document):
                    return "unpacked"
        return await self._documents.finish(job.owner_id, job.document_id)

    async def _read(self, job: IngestDocument, document: DocumentRow) -> bool:
        """Read, cut and index a document; return whether it is an archive, which its files will finish."""
        original = await self._original(job, document)
        if document.status != DocumentStatus.READY:
            if not await self._documents.begin(job.owner_id, job.document_id):
                raise Stopped
            await self._progress.tell(job.owner_id, job.document_id)
        read = await self._recognition.read(document, original)
        kept = await self._passages.keep(document, read)
        if kept is None:
            raise Stopped
        await self._progress.tell(job.owner_id, job.document_id)
        await self._indexing.complete(kept)
        # What is attached to an e-mail in an archive was unpacked with the archive.
        if not read.has_members or kept.archive_id is not None:
            return False
        await self._archives.unpack(kept, original)
        return True

    async def _original(self, job: IngestDocument, document: DocumentRow) -> bytes:
        try:
            original = await self._stored(document)
        except ParleyError as error:
            if error.code is ErrorCode.INTERNAL:
                _log.exception("an original cannot be opened", extra={"document_id": job.document_id})
                raise UnreadableDocument(
                    "The stored file cannot be opened; upload the file again."
                ) from error
            if error.code is not ErrorCode.NOT_FOUND:
                raise
            if self._clock_ms() - document.wanted_at_ms < _UPLOAD_MS:
                raise ParleyError(ErrorCode.UNAVAILABLE, "The upload is still under way.") from error
            raise UnreadableDocument("The upload was not completed; upload the file again.") from error
        if (await asyncio.to_thread(sha256, original)).hexdigest() != document.sha256:
            raise UnreadableDocument("The upload arrived damaged; upload the file again.")
        return original

    async def _stored(self, document: DocumentRow) -> bytes:
        """Return an original; it may have been sealed since the row was read."""
        place = (document.owner_id, document.id, document.sha256)
        try:
            return await self._originals.get(*place, is_sealed=document.is_sealed)
        except ParleyError as error:
            if error.code is not ErrorCode.NOT_FOUND or document.is_sealed:
                raise
        now = await self._documents.row(document.owner_id, document.id)
        return await self._originals.get(*place, is_sealed=now.is_sealed)

    async def _stop(self, job: IngestDocument) -> str:
        """Remove what a document that is gone or cancelled has in the index; return which it is.

        Raises:
            ParleyError: `conflict` when neither is the case: somebody else works on it.
        """
        try:
            await self._documents.row(job.owner_id, job.document_id)
        except ParleyError:
            await self._index.remove_document(job.owner_id, job.document_id)
            await self._originals.delete(job.owner_id, job.document_id)
            return "gone"
        if await self._documents.clear(job.owner_id, job.document_id):
            await self._index.remove_document(job.owner_id, job.document_id)
            return "cancelled"
        raise ParleyError(ErrorCode.CONFLICT, "The document is being indexed elsewhere.")

    async def _fail(self, job: IngestDocument, reason: str) -> None:
        if await self._documents.fail(job.owner_id, job.document_id, reason):
            await self._index.remove_document(job.owner_id, job.document_id)
        _log.warning("document failed", extra={"document_id": job.document_id, "reason": reason})
