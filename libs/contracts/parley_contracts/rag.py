"""Documents and search: requests to the rag service and its ingestion job."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from parley_contracts.citations import Passage
from parley_contracts.model import MAX_EXACT, OwnedRequest, SubjectPart, UnixMs, WireModel

MAX_NAME_CHARS = 500
MAX_ADDED_BYTES = 5 * 1024 * 1024
"""Base64 makes it 7 MB, and a message on the bus may have 8."""

CollectionName = Annotated[
    str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True, pattern=r"^[^\x00-\x1f/\\]+$")
]
FileName = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=MAX_NAME_CHARS, strip_whitespace=True, pattern=r"^[^\x00-\x1f]+$"
    ),
]


class Language(StrEnum):
    """The languages that words can be cut in: their stop words and stems are known."""

    ARABIC = "arabic"
    BASQUE = "basque"
    CATALAN = "catalan"
    DANISH = "danish"
    DUTCH = "dutch"
    ENGLISH = "english"
    FINNISH = "finnish"
    FRENCH = "french"
    GERMAN = "german"
    GREEK = "greek"
    HUNGARIAN = "hungarian"
    INDONESIAN = "indonesian"
    ITALIAN = "italian"
    NORWEGIAN = "norwegian"
    PORTUGUESE = "portuguese"
    ROMANIAN = "romanian"
    RUSSIAN = "russian"
    SPANISH = "spanish"
    SWEDISH = "swedish"
    TURKISH = "turkish"


class DocumentStatus(StrEnum):
    """Where a document stands."""

    QUEUED = "queued"
    INGESTING = "ingesting"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Document(WireModel):
    """A document as its owner sees it."""

    id: str
    name: str
    collection: str
    content_type: str
    size_bytes: int
    sha256: str
    status: DocumentStatus
    error: str | None = Field(default=None, description="Why it failed, for people.")
    pages: int | None = None
    chunks: int = 0
    chunks_done: int = Field(default=0, description="Embedded and indexed so far.")
    created_at_ms: int
    title: str | None = None
    author: str | None = None
    source_url: str | None = Field(default=None, description="Where a page was read from.")
    language: str | None = Field(default=None, description="As the document declares it: a BCP 47 tag.")
    written_at_ms: int | None = Field(default=None, description="When it was first written, as it says.")
    modified_at_ms: int | None = Field(default=None, description="When it was last changed, as it says.")
    archive_id: str | None = Field(default=None, description="The archive that it came in.")
    members: int | None = Field(default=None, description="Of an archive: how many files came in it.")
    members_done: int | None = Field(
        default=None, description="Of an archive: how many of them are ready, failed or cancelled."
    )
    is_sealed: bool = Field(default=False, description="Its original is encrypted where it is kept.")
    is_reindexing: bool = Field(
        default=False, description="Its passages are being replaced; those there are serve meanwhile."
    )


class Collection(WireModel):
    """A named set of documents."""

    name: str
    documents: int
    chunks: int
    created_at_ms: int
    language: Language = Field(default=Language.ENGLISH, description="Language that its words are cut in.")


class CreateDocument(OwnedRequest):
    """Request: make room for an upload. The same content in the same collection is the same document.

    The same name with other content replaces the document once the new one is ready.
    """

    type: Literal["create_document"] = "create_document"
    collection: CollectionName = "default"
    name: FileName
    content_type: str = Field(default="application/octet-stream", max_length=200)
    size_bytes: int = Field(ge=1, le=MAX_EXACT)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    title: str | None = Field(default=None, max_length=300, description="For content that names none.")
    source_url: str | None = Field(default=None, description="The web page that it is the text of.")
    is_sealed: bool = Field(default=False, description="Its content will be put sealed, under `sealed_key`.")


class DocumentCreated(WireModel):
    """The document, and whether its content still has to be put and ingested."""

    type: Literal["document_created"] = "document_created"
    document: Document
    needs_content: bool


class AddDocument(OwnedRequest):
    """Request: take a document, content and all, from somebody who may not write uploads."""

    type: Literal["add_document"] = "add_document"
    collection: CollectionName = "default"
    name: FileName
    content_type: str = Field(default="application/octet-stream", max_length=200)
    content: bytes = Field(min_length=1, max_length=MAX_ADDED_BYTES, description="Base64.")
    title: str | None = Field(default=None, max_length=300, description="For content that names none.")
    source_url: str | None = Field(default=None, description="The web page that it is the text of.")


def original_key(owner_id: str, document_id: str) -> str:
    """Return where a document's original is in the object store, as it came."""
    return f"{owner_id}/{document_id}"


def sealed_key(owner_id: str, document_id: str) -> str:
    """Return where it is sealed: the place says how to read it, whatever stands there."""
    return f"{original_key(owner_id, document_id)}/sealed"


class IngestDocument(OwnedRequest):
    """Command on INGEST: read, cut, embed and index a document whose original is in the object store."""

    type: Literal["ingest_document"] = "ingest_document"
    document_id: SubjectPart
    object_key: str


class DocumentChanged(WireModel):
    """Event: a document as it stands after a change; it takes the place of all earlier ones."""

    type: Literal["document_changed"] = "document_changed"
    document: Document


class ReadDocument(OwnedRequest):
    """Request: one document; `not_found` when it is not the owner's."""

    type: Literal["read_document"] = "read_document"
    document_id: str


class ListDocuments(OwnedRequest):
    """Request: documents, newest first; a filter that is None admits all."""

    type: Literal["list_documents"] = "list_documents"
    collection: CollectionName | None = Field(default=None, description="One, where `collections` is None.")
    collections: tuple[CollectionName, ...] | None = None
    statuses: tuple[DocumentStatus, ...] | None = None
    content_types: tuple[str, ...] | None = Field(default=None, description="Media types.")
    name_part: str | None = Field(
        default=None, min_length=1, max_length=MAX_NAME_CHARS, description="Stands in the name, in any case."
    )
    archive_id: str | None = Field(default=None, description="The archive that they came in.")
    dated_from_ms: UnixMs | None = Field(default=None, description="As in `Search`.")
    dated_before_ms: UnixMs | None = Field(default=None, description="As in `Search`.")
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = None


class DocumentList(WireModel):
    """A page of documents; `next_cursor` is None on the last."""

    type: Literal["document_list"] = "document_list"
    documents: tuple[Document, ...]
    next_cursor: str | None = None


class DeleteDocument(OwnedRequest):
    """Request: remove a document, its chunks, vectors and original."""

    type: Literal["delete_document"] = "delete_document"
    document_id: str


class CancelDocument(OwnedRequest):
    """Request: read and index it no further; its original is kept. `conflict` when it is through.

    Of an archive all files are cancelled that are not through.
    """

    type: Literal["cancel_document"] = "cancel_document"
    document_id: str


class ReindexDocument(OwnedRequest):
    """Request: read it again from its original and put the new passages in the place of the old ones.

    One that failed or was cancelled is begun anew; of an archive all files are.
    """

    type: Literal["reindex_document"] = "reindex_document"
    document_id: str


class ReadPassage(OwnedRequest):
    """Request: a span of a document's text with what stands around it."""

    type: Literal["read_passage"] = "read_passage"
    document_id: str
    start: int = Field(ge=0, le=2**31 - 1)
    end: int = Field(ge=0, le=2**31 - 1)
    around_chars: int = Field(default=600, ge=0, le=10_000)


class PassageText(WireModel):
    """`before + text + after` is contiguous text of the document."""

    type: Literal["passage_text"] = "passage_text"
    document: Document
    before: str
    text: str
    after: str
    page: int | None = None


class ListCollections(OwnedRequest):
    """Request: the owner's collections, by name."""

    type: Literal["list_collections"] = "list_collections"
    limit: int = Field(default=1000, ge=1, le=1000)
    cursor: str | None = None


class CollectionList(WireModel):
    """A page of collections; `next_cursor` is None on the last."""

    type: Literal["collection_list"] = "collection_list"
    collections: tuple[Collection, ...]
    next_cursor: str | None = None


class ReadCollection(OwnedRequest):
    """Request: one collection with what it holds; `not_found` when it is not the owner's."""

    type: Literal["read_collection"] = "read_collection"
    name: CollectionName


class CollectionStatistics(WireModel):
    """What a collection holds."""

    type: Literal["collection_statistics"] = "collection_statistics"
    collection: Collection
    documents_by_status: dict[str, int] = Field(description="Status to how many documents have it.")
    documents_by_language: dict[str, int] = Field(
        description="Language as documents declare it; those that declare none are under `und`."
    )
    chunks: int = Field(description="Passages that were cut of documents that are, or will be, ready.")
    chunks_done: int = Field(description="Of these, embedded and indexed.")
    size_bytes: int = Field(description="All originals.")


class ReindexCollection(OwnedRequest):
    """Request: read all documents of a collection again, as `ReindexDocument` does."""

    type: Literal["reindex_collection"] = "reindex_collection"
    name: CollectionName


class CollectionReindexed(WireModel):
    """How many documents are read again."""

    type: Literal["collection_reindexed"] = "collection_reindexed"
    documents: int


class CreateCollection(OwnedRequest):
    """Request: make a collection; one that exists is returned as it is, `conflict` if in another language."""

    type: Literal["create_collection"] = "create_collection"
    name: CollectionName
    language: Language | None = Field(default=None, description="None takes the installation's.")


class DeleteCollection(OwnedRequest):
    """Request: remove a collection with all its documents."""

    type: Literal["delete_collection"] = "delete_collection"
    name: CollectionName


class SearchMode(StrEnum):
    """How passages are ranked."""

    HYBRID = "hybrid"
    MEANING = "meaning"
    WORDS = "words"
    RRF = "rrf"


class Search(OwnedRequest):
    """Request: the best passages for a query."""

    type: Literal["search"] = "search"
    query: str = Field(min_length=1, max_length=10_000)
    vector: bytes | None = Field(
        default=None, description="The query's embedding if the caller has it: little-endian float32, base64."
    )
    engine: str | None = Field(default=None, description="Engine of `vector`; another one's is not used.")
    collections: tuple[CollectionName, ...] | None = Field(default=None, description="None searches all.")
    document_ids: tuple[str, ...] | None = Field(default=None, max_length=1000)
    content_types: tuple[str, ...] | None = Field(default=None, description="Media types; None searches all.")
    dated_from_ms: UnixMs | None = Field(
        default=None, description="Documents last changed then or later; by their upload if they do not say."
    )
    dated_before_ms: UnixMs | None = Field(default=None, description="Documents last changed before then.")
    mode: SearchMode = SearchMode.HYBRID
    max_per_document: int | None = Field(
        default=None, ge=1, description="Passages of one document; None for as many as are good."
    )
    limit: int = Field(default=8, ge=1, le=100)


class SearchResults(WireModel):
    """Passages, best first; near-duplicates collapsed."""

    type: Literal["search_results"] = "search_results"
    results: tuple[Passage, ...]
    degraded: tuple[str, ...] = Field(
        default=(),
        description="`npu` when only words were searched; `reranker` when it was asked and late or away.",
    )
    had_documents: bool = Field(
        default=True, description="False when there is nothing ready in what was to be searched."
    )
