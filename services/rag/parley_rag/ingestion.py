"""The ingestion job: original -> text -> passages -> vectors -> ready. Running it again changes nothing."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from weakref import WeakValueDictionary

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import DocumentStatus, IngestDocument
from parley_messaging.bus import ObjectStore

from parley_rag.clock import now_ms
from parley_rag.documents import Documents
from parley_rag.embedding import Embedder, Vectors
from parley_rag.indexed_passages import dated_ms, indexed_text, terms_of
from parley_rag.load.extraction import UnreadableDocument
from parley_rag.measures import Measures
from parley_rag.passages import Passages
from parley_rag.reading import ReadLimits, read_document
from parley_rag.removals import Removals
from parley_rag.tables import ChunkRow, DocumentRow
from parley_rag.vector_space import OtherVectorSpace, VectorSpaces
from parley_rag.vectors import IndexedPassage, VectorIndex

_log = logging.getLogger("parley.rag")
_BATCH = 32
_BATCHES_AT_NPU = 2  # its lanes stay busy while a batch is written; more would only lengthen its queue
_EMBED_TIMEOUT_S = 60.0
_UPLOAD_MS = 120_000  # from the request to the original: the job may come first


@dataclass(frozen=True, slots=True)
class _Batch:
    """Passages whose vectors are under way."""

    chunks: list[ChunkRow]
    texts: tuple[str, ...]
    vectors: asyncio.Task[Vectors | ParleyError]


class _Gone(Exception):
    """The document was deleted while it was ingested."""


class Ingestion:
    """Runs ingestion jobs."""

    def __init__(
        self,
        *,
        documents: Documents,
        passages: Passages,
        removals: Removals,
        spaces: VectorSpaces,
        index: VectorIndex,
        embedder: Embedder,
        originals: ObjectStore,
        limits: ReadLimits,
        measures: Measures,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._documents = documents
        self._passages = passages
        self._removals = removals
        self._spaces = spaces
        self._index = index
        self._embedder = embedder
        self._originals = originals
        self._limits = limits
        self._measures = measures
        self._clock_ms = clock_ms
        self._at_work: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self, job: IngestDocument) -> None:
        """Ingest a document; raises when the job should be tried again later."""
        lock = self._at_work.setdefault(job.document_id, asyncio.Lock())
        async with lock:  # a document that is sent twice is read once
            started_s = time.monotonic()
            try:
                outcome = await self._ingest(job)
            except _Gone:
                outcome = "gone"
                await self._index.remove_document(job.owner_id, job.document_id)
                await self._originals.delete(job.object_key)
            except UnreadableDocument as error:
                outcome = "unreadable"
                await self._fail(job, str(error))
            except OtherVectorSpace:
                outcome = "refused"
                await self._fail(
                    job,
                    "The embedding model has changed since the other documents were added; "
                    "vectors of two models cannot be searched together.",
                )
            self._measures.ingested.labels(outcome).inc()
            _log.info(
                "ingestion finished",
                extra={
                    "document_id": job.document_id,
                    "outcome": outcome,
                    "duration_s": time.monotonic() - started_s,
                },
            )
        await self._removals.finish()

    async def _ingest(self, job: IngestDocument) -> str:
        try:
            document = await self._documents.row(job.owner_id, job.document_id)
        except ParleyError as error:
            raise _Gone from error
        if document.status == DocumentStatus.READY:
            return "already"
        original = await self._original(job, document)
        await self._update(job, status=DocumentStatus.INGESTING.value, error=None, object_key=job.object_key)
        read = await read_document(original, document.name, self._limits)
        document.title = read.title
        done = await self._passages.keep(document, read)
        if done is None:
            raise _Gone
        language = await self._documents.language(document)
        if done == 0:  # what a run left behind that read the document differently
            await self._index.remove_document(job.owner_id, job.document_id)
        await self._index_from(job, document, language, done)
        if await self._index.count(job.owner_id, job.document_id) != len(read.chunks):
            await self._documents.rewind(job.owner_id, job.document_id)
            await self._index.remove_document(job.owner_id, job.document_id)
            await self._index_from(job, document, language, 0)
        await self._index.flush()
        return "ready" if await self._documents.finish(job.owner_id, job.document_id) else "replaced"

    async def _original(self, job: IngestDocument, document: DocumentRow) -> bytes:
        try:
            original = await self._originals.get(job.object_key)
        except ParleyError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
            if self._clock_ms() - document.wanted_at_ms < _UPLOAD_MS:
                raise ParleyError(ErrorCode.UNAVAILABLE, "The upload is still under way.") from error
            raise UnreadableDocument("The upload was not completed; upload the file again.") from error
        if (await asyncio.to_thread(sha256, original)).hexdigest() != document.sha256:
            raise UnreadableDocument("The upload arrived damaged; upload the file again.")
        return original

    async def _index_from(
        self, job: IngestDocument, document: DocumentRow, language: str, first: int
    ) -> None:
        """Embed and index the passages from `first` on; npu has further batches while one is written."""
        try:
            async with asyncio.TaskGroup() as group:
                under_way: deque[_Batch] = deque()
                done = first
                while chunks := await self._passages.of_document(
                    job.owner_id, job.document_id, first, _BATCH
                ):
                    texts = tuple(indexed_text(document, chunk.heading, chunk.text) for chunk in chunks)
                    under_way.append(_Batch(chunks, texts, group.create_task(self._embedded(texts))))
                    first += len(chunks)
                    if len(under_way) == _BATCHES_AT_NPU:
                        done += await self._write(document, language, under_way.popleft(), done)
                for batch in under_way:
                    done += await self._write(document, language, batch, done)
        except ExceptionGroup as errors:  # only the writer raises, and its error ends what is under way
            raise errors.exceptions[0] from errors

    async def _embedded(self, texts: tuple[str, ...]) -> Vectors | ParleyError:
        """Return vectors, or the error for the writer to raise once the batches before are written."""
        try:
            return await self._embedder.embed(texts, _EMBED_TIMEOUT_S)
        except ParleyError as error:
            return error

    async def _write(self, document: DocumentRow, language: str, batch: _Batch, done: int) -> int:
        """Index the batch from `done` on once its vectors are there; return its length."""
        vectors = await batch.vectors
        if isinstance(vectors, ParleyError):
            raise vectors
        await self._spaces.claim(vectors.space)
        terms = await terms_of(batch.texts, language)
        await self._index.put(
            [
                IndexedPassage(
                    id=chunk.id,
                    owner_id=document.owner_id,
                    collection=document.collection,
                    document_id=document.id,
                    content_type=document.content_type,
                    dated_ms=dated_ms(document),
                    vector=vector,
                    terms=cut,
                )
                for chunk, cut, vector in zip(batch.chunks, terms, vectors.rows, strict=True)
            ]
        )
        self._measures.passages.inc(len(batch.chunks))
        try:
            await self._documents.advance(document, done, terms)
        except ParleyError as error:
            if error.code is ErrorCode.NOT_FOUND:
                raise _Gone from error
            raise
        return len(batch.chunks)

    async def _update(self, job: IngestDocument, **values: object) -> None:
        if not await self._documents.update(job.owner_id, job.document_id, **values):
            raise _Gone

    async def _fail(self, job: IngestDocument, reason: str) -> None:
        await self._documents.rewind(job.owner_id, job.document_id)
        await self._index.remove_document(job.owner_id, job.document_id)
        await self._documents.update(
            job.owner_id,
            job.document_id,
            status=DocumentStatus.FAILED.value,
            error=reason,
            object_key=job.object_key,
        )
        _log.warning("document failed", extra={"document_id": job.document_id, "reason": reason})
