"""rag as a test scripts it: one document of the owner's, and what was asked."""

from typing import Any

from parley_contracts import subjects
from parley_contracts.browser import PageText, ReadPage
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.model import OwnedRequest
from parley_contracts.rag import (
    CancelDocument,
    Collection,
    CollectionReindexed,
    CollectionStatistics,
    CreateCollection,
    CreateDocument,
    Document,
    DocumentChanged,
    DocumentCreated,
    DocumentList,
    DocumentStatus,
    ListDocuments,
    ReadCollection,
    ReadDocument,
    ReindexCollection,
    ReindexDocument,
    Search,
    SearchResults,
)
from parley_messaging.memory_bus import MemoryBus

DOCUMENT = Document(
    id="d1",
    name="box.zip/über den Tag.html",
    collection="default",
    content_type="text/html",
    size_bytes=3,
    sha256="0" * 64,
    status=DocumentStatus.QUEUED,
    created_at_ms=1,
    is_sealed=True,
)
COLLECTION = Collection(name="default", documents=1, chunks=2, created_at_ms=1)


class Rag:
    """One document of the owner's, and what was asked."""

    def __init__(self, bus: MemoryBus) -> None:
        self.asked: list[OwnedRequest] = []
        self.document = DOCUMENT
        self._bus = bus
        self._answer(subjects.RAG_CREATE_DOCUMENT, CreateDocument)
        self._answer(subjects.RAG_READ_DOCUMENT, ReadDocument)
        self._answer(subjects.RAG_LIST_DOCUMENTS, ListDocuments)
        self._answer(subjects.RAG_CANCEL_DOCUMENT, CancelDocument)
        self._answer(subjects.RAG_REINDEX_DOCUMENT, ReindexDocument)
        self._answer(subjects.RAG_READ_COLLECTION, ReadCollection)
        self._answer(subjects.RAG_REINDEX_COLLECTION, ReindexCollection)
        self._answer(subjects.RAG_CREATE_COLLECTION, CreateCollection)
        self._answer(subjects.RAG_SEARCH, Search)
        self._answer(subjects.BROWSER_READ, ReadPage)

    def _answer(self, subject: str, request_type: Any) -> None:
        self._bus.answer(subject, request_type, self._take)

    async def _take(self, request: Any) -> Any:  # noqa: PLR0911 - one answer for each request
        self.asked.append(request)
        match request:
            case CreateDocument():
                return DocumentCreated(document=self.document, needs_content=True)
            case ReadDocument(document_id=document_id) if document_id != self.document.id:
                raise ParleyError(ErrorCode.NOT_FOUND, "There is no such document.", field="document_id")
            case ListDocuments():
                return DocumentList(documents=(self.document,))
            case ReadCollection():
                return CollectionStatistics(
                    collection=COLLECTION,
                    documents_by_status={"ready": 1},
                    documents_by_language={"de": 1},
                    chunks=2,
                    chunks_done=2,
                    size_bytes=3,
                )
            case ReindexCollection():
                return CollectionReindexed(documents=7)
            case CreateCollection():
                return COLLECTION
            case Search(collections=collections) if "nowhere" in (collections or ()):
                raise ParleyError(
                    ErrorCode.NOT_FOUND, "There is no collection 'nowhere'.", field="collections"
                )
            case Search():
                return SearchResults(results=())
            case ReadPage(url="http://10.0.0.1/"):
                raise ParleyError(ErrorCode.REFUSED_ADDRESS, "That address is not a public one.")
            case ReadPage():
                return PageText(url="https://example.org/a.html", title="A  page", text="The page says so.")
            case _:
                return self.document

    async def change(self, **values: object) -> None:
        self.document = self.document.model_copy(update=values)
        data = DocumentChanged(document=self.document).model_dump_json().encode()
        await self._bus.publish(subjects.ingest_events(self.document.id), data)
