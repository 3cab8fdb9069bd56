"""Collections, documents and search."""

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, UploadFile
from parley_contracts import headers, subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import (
    Collection,
    CollectionList,
    CollectionName,
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
    ReadDocument,
    ReadPassage,
    Search,
    SearchResults,
)
from parley_contracts.replies import Done
from parley_messaging import NotStoredError
from parley_messaging.message_headers import outgoing
from pydantic import BaseModel, Field

from parley_gateway.edge import CurrentEdge, CurrentPrincipal, Edge
from parley_gateway.identity import Principal

router = APIRouter(prefix="/api", tags=["documents"])

ASK_S = 5.0
DELETE_S = 30.0
MAX_OFFSET = 2**31 - 1


class NewCollection(BaseModel):
    """A collection to make."""

    name: CollectionName


class SearchQuery(BaseModel):
    """A search."""

    query: str = Field(min_length=1, max_length=10_000)
    collection: CollectionName | None = None
    limit: int = Field(default=8, ge=1, le=100)
    document_ids: list[str] | None = Field(default=None, max_length=100)


class DocumentBody(BaseModel):
    """A document."""

    document: Document


@router.get("/collections")
async def list_collections(edge: CurrentEdge, principal: CurrentPrincipal) -> CollectionList:
    """List your collections."""
    request = ListCollections(owner_id=principal.owner_id)
    return await edge.bus.request(subjects.RAG_LIST_COLLECTIONS, request, CollectionList, timeout_s=ASK_S)


@router.post("/collections", status_code=201)
async def create_collection(
    body: NewCollection, edge: CurrentEdge, principal: CurrentPrincipal
) -> Collection:
    """Make a collection; one that exists stays as it is."""
    request = CreateCollection(owner_id=principal.owner_id, name=body.name)
    return await edge.bus.request(subjects.RAG_CREATE_COLLECTION, request, Collection, timeout_s=ASK_S)


@router.delete("/collections/{name}")
async def delete_collection(name: CollectionName, edge: CurrentEdge, principal: CurrentPrincipal) -> Done:
    """Remove a collection with all its documents."""
    request = DeleteCollection(owner_id=principal.owner_id, name=name)
    return await edge.bus.request(subjects.RAG_DELETE_COLLECTION, request, Done, timeout_s=DELETE_S)


@router.post("/documents", status_code=202)
async def upload_document(
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    file: Annotated[UploadFile, File()],
    collection: Annotated[CollectionName, Form()] = "default",
) -> DocumentBody:
    """Upload a document; it is read and indexed in the background: follow its `status`.

    The same content again is the same document. Other content under the same name replaces it.
    """
    limit = edge.settings.gateway_max_upload_bytes
    data = await file.read(limit + 1)
    if len(data) > limit:
        raise ParleyError(ErrorCode.TOO_LARGE, f"The file is larger than {limit} bytes.", field="file")
    if not data:
        raise ParleyError(ErrorCode.INVALID_REQUEST, "The file is empty.", field="file")
    request = CreateDocument(
        owner_id=principal.owner_id,
        collection=collection,
        name=file.filename or "untitled",
        content_type=file.content_type or "application/octet-stream",
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    created = await edge.bus.request(subjects.RAG_CREATE_DOCUMENT, request, DocumentCreated, timeout_s=ASK_S)
    if created.needs_content:
        await _ingest(edge, principal, created.document.id, data)
    return DocumentBody(document=created.document)


async def _ingest(edge: Edge, principal: Principal, document_id: str, data: bytes) -> None:
    """Keep the original, then queue the job; an upload that fails between is repeated by its client."""
    key = f"{principal.owner_id}/{document_id}"
    await edge.bus.objects.put(key, data)
    job = IngestDocument(owner_id=principal.owner_id, document_id=document_id, object_key=key)
    extra = {headers.CORRELATION_ID: document_id}
    try:
        await edge.bus.store(
            subjects.RAG_INGEST, job.model_dump_json().encode(), headers=outgoing(extra=extra)
        )
    except NotStoredError:
        raise ParleyError(ErrorCode.UNAVAILABLE, "The upload could not be queued now.") from None


@router.get("/documents")
async def list_documents(
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    collection: CollectionName | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
) -> DocumentList:
    """List your documents, newest first."""
    request = ListDocuments(owner_id=principal.owner_id, collection=collection, limit=limit, cursor=cursor)
    return await edge.bus.request(subjects.RAG_LIST_DOCUMENTS, request, DocumentList, timeout_s=ASK_S)


@router.get("/documents/{document_id}")
async def read_document(document_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> DocumentBody:
    """Return a document with its status and progress."""
    request = ReadDocument(owner_id=principal.owner_id, document_id=document_id)
    found = await edge.bus.request(subjects.RAG_READ_DOCUMENT, request, Document, timeout_s=ASK_S)
    return DocumentBody(document=found)


@router.delete("/documents/{document_id}")
async def delete_document(document_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> Done:
    """Remove a document with everything that was made of it."""
    request = DeleteDocument(owner_id=principal.owner_id, document_id=document_id)
    return await edge.bus.request(subjects.RAG_DELETE_DOCUMENT, request, Done, timeout_s=DELETE_S)


@router.get("/documents/{document_id}/passage")
async def read_passage(
    document_id: str,
    start: Annotated[int, Query(ge=0, le=MAX_OFFSET)],
    end: Annotated[int, Query(ge=0, le=MAX_OFFSET)],
    edge: CurrentEdge,
    principal: CurrentPrincipal,
) -> PassageText:
    """Return a span of a document's text with what stands around it."""
    request = ReadPassage(owner_id=principal.owner_id, document_id=document_id, start=start, end=end)
    return await edge.bus.request(subjects.RAG_READ_PASSAGE, request, PassageText, timeout_s=ASK_S)


@router.post("/search")
async def search(body: SearchQuery, edge: CurrentEdge, principal: CurrentPrincipal) -> dict[str, Any]:
    """Find the passages that fit a query best."""
    request = Search(
        owner_id=principal.owner_id,
        query=body.query,
        collections=None if body.collection is None else (body.collection,),
        document_ids=None if body.document_ids is None else tuple(body.document_ids),
        limit=body.limit,
    )
    found = await edge.bus.request(subjects.RAG_SEARCH, request, SearchResults, timeout_s=ASK_S)
    results = [passage.model_dump(mode="json", exclude_none=True) for passage in found.results]
    return {"results": results, "degraded": found.degraded}
