"""Subject -> function."""

import asyncio
import hashlib

from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import (
    AddDocument,
    CancelDocument,
    Collection,
    CollectionList,
    CollectionReindexed,
    CollectionStatistics,
    CreateCollection,
    CreateDocument,
    DeleteCollection,
    DeleteDocument,
    Document,
    DocumentCreated,
    DocumentList,
    IngestDocument,
    ListCollections,
    ListDocuments,
    PassageText,
    ReadCollection,
    ReadDocument,
    ReadPassage,
    ReindexCollection,
    ReindexDocument,
    Search,
)
from parley_contracts.replies import Done
from parley_envelope import Originals
from parley_messaging import Service, queues

from parley_rag.archives import Archives
from parley_rag.document_collections import Collections
from parley_rag.documents import Documents
from parley_rag.ingestion import Ingestion
from parley_rag.jobs import Jobs
from parley_rag.passages import Passages
from parley_rag.progress import Progress
from parley_rag.removals import Removals
from parley_rag.searching import Searching

_SEARCHES_AT_ONCE = 64
# Each holds its document whole, twice.
_ADDED_AT_ONCE = 2
_ADDED_WAITING = 8


class RagHandlers:
    """What the service answers."""

    def __init__(
        self,
        *,
        documents: Documents,
        collections: Collections,
        passages: Passages,
        removals: Removals,
        archives: Archives,
        jobs: Jobs,
        progress: Progress,
        originals: Originals,
    ) -> None:
        self._documents = documents
        self._collections = collections
        self._passages = passages
        self._removals = removals
        self._archives = archives
        self._jobs = jobs
        self._progress = progress
        self._originals = originals

    async def create_document(self, request: CreateDocument) -> DocumentCreated:
        document, needs_content = await self._documents.create(request)
        return DocumentCreated(document=document, needs_content=needs_content)

    async def add_document(self, request: AddDocument) -> Document:
        """Take a document and its content in one; a crash between the two is made up for by asking again."""
        known_by = await asyncio.to_thread(hashlib.sha256, request.content)
        wanted = CreateDocument(
            owner_id=request.owner_id,
            collection=request.collection,
            name=request.name,
            content_type=request.content_type,
            size_bytes=len(request.content),
            sha256=known_by.hexdigest(),
            title=request.title,
            source_url=request.source_url,
            is_sealed=True,
        )
        await self._originals.make_ready()
        document, needs_content = await self._documents.create(wanted)
        if needs_content:
            await self._originals.put(request.owner_id, document.id, wanted.sha256, request.content)
            await self._jobs.publish(request.owner_id, document.id)
        return document

    async def read_document(self, request: ReadDocument) -> Document:
        return await self._documents.read(request.owner_id, request.document_id)

    async def list_documents(self, request: ListDocuments) -> DocumentList:
        return await self._documents.page(request)

    async def delete_document(self, request: DeleteDocument) -> Done:
        await self._documents.remove(request.owner_id, request.document_id)
        await self._archives.settle(request.owner_id, request.document_id)
        self._removals.start()
        return Done()

    async def cancel_document(self, request: CancelDocument) -> Document:
        cancelled = await self._jobs.cancel(request.owner_id, request.document_id)
        for document in cancelled:
            await self._progress.tell_of(document)
        await self._archives.settle(request.owner_id, request.document_id)
        return await self._documents.read(request.owner_id, request.document_id)

    async def reindex_document(self, request: ReindexDocument) -> Document:
        document = await self._jobs.reindex(request.owner_id, request.document_id)
        await self._progress.tell_of(document)
        return document

    async def read_passage(self, request: ReadPassage) -> PassageText:
        if request.end < request.start:
            raise ParleyError(ErrorCode.INVALID_REQUEST, "`end` lies before `start`.", field="end")
        document = await self._documents.read(request.owner_id, request.document_id)
        span = await self._passages.span(
            request.owner_id, request.document_id, request.start, request.end, request.around_chars
        )
        if span is None:
            raise ParleyError(ErrorCode.CONFLICT, "The document has not been read yet.", field="document_id")
        if request.start < request.end and not span.text:
            raise ParleyError(ErrorCode.INVALID_REQUEST, "`start` lies behind the text's end.", field="start")
        return PassageText(
            document=document, before=span.before, text=span.text, after=span.after, page=span.page
        )

    async def list_collections(self, request: ListCollections) -> CollectionList:
        return await self._collections.page(request)

    async def read_collection(self, request: ReadCollection) -> CollectionStatistics:
        return await self._collections.statistics(request.owner_id, request.name)

    async def reindex_collection(self, request: ReindexCollection) -> CollectionReindexed:
        count = await self._jobs.reindex_collection(request.owner_id, request.name)
        return CollectionReindexed(documents=count)

    async def create_collection(self, request: CreateCollection) -> Collection:
        return await self._collections.create(request.owner_id, request.name, request.language)

    async def delete_collection(self, request: DeleteCollection) -> Done:
        await self._collections.remove(request.owner_id, request.name)
        self._removals.start()
        return Done()


def bind(
    service: Service, handlers: RagHandlers, searching: Searching, ingestion: Ingestion, *, slots: int
) -> None:
    """Answer every subject of this service and take its jobs."""
    service.answer(subjects.RAG_SEARCH, Search, searching.search, concurrency=_SEARCHES_AT_ONCE)
    service.answer(subjects.RAG_CREATE_DOCUMENT, CreateDocument, handlers.create_document)
    service.answer(
        subjects.RAG_ADD_DOCUMENT,
        AddDocument,
        handlers.add_document,
        concurrency=_ADDED_AT_ONCE,
        waiting=_ADDED_WAITING,
    )
    service.answer(subjects.RAG_READ_DOCUMENT, ReadDocument, handlers.read_document)
    service.answer(subjects.RAG_LIST_DOCUMENTS, ListDocuments, handlers.list_documents)
    service.answer(subjects.RAG_DELETE_DOCUMENT, DeleteDocument, handlers.delete_document)
    service.answer(subjects.RAG_CANCEL_DOCUMENT, CancelDocument, handlers.cancel_document)
    service.answer(subjects.RAG_REINDEX_DOCUMENT, ReindexDocument, handlers.reindex_document)
    service.answer(subjects.RAG_READ_PASSAGE, ReadPassage, handlers.read_passage)
    service.answer(subjects.RAG_LIST_COLLECTIONS, ListCollections, handlers.list_collections)
    service.answer(subjects.RAG_READ_COLLECTION, ReadCollection, handlers.read_collection)
    service.answer(subjects.RAG_REINDEX_COLLECTION, ReindexCollection, handlers.reindex_collection)
    service.answer(subjects.RAG_CREATE_COLLECTION, CreateCollection, handlers.create_collection)
    service.answer(subjects.RAG_DELETE_COLLECTION, DeleteCollection, handlers.delete_collection)
    service.work(queues.INGEST, IngestDocument, ingestion.run, slots=slots)
