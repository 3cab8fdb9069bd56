"""Documents: uploaded, fetched from the web, listed, followed, cancelled, read again and removed."""

import asyncio
import hashlib
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, BinaryIO
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Header, Query, UploadFile
from parley_contracts import headers, subjects
from parley_contracts.browser import MAX_URL_CHARS, PageText, ReadPage
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.file_names import name_fault
from parley_contracts.rag import (
    MAX_NAME_CHARS,
    CancelDocument,
    CollectionName,
    CreateDocument,
    DeleteDocument,
    Document,
    DocumentCreated,
    DocumentList,
    DocumentStatus,
    IngestDocument,
    ListDocuments,
    PassageText,
    ReadDocument,
    ReadPassage,
    ReindexDocument,
    sealed_key,
)
from parley_contracts.replies import Done
from parley_envelope.sealed_objects import Content
from parley_messaging import NotStoredError
from parley_messaging.message_headers import outgoing
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from parley_gateway.dates import as_ms
from parley_gateway.document_events import DocumentEvents, EventStream
from parley_gateway.edge import CurrentEdge, CurrentPrincipal, Edge
from parley_gateway.original_download import download

router = APIRouter(prefix="/api/documents", tags=["documents"])

ASK_S = 5.0
DELETE_S = 30.0
PAGE_CHARS = 200_000
MAX_OFFSET = 2**31 - 1
MAX_TYPE_CHARS = 200
PIECE_BYTES = 256 * 1024


class DocumentBody(BaseModel):
    """A document."""

    document: Document


class WebPage(BaseModel):
    """A page to read from the web."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(min_length=1, max_length=MAX_URL_CHARS, pattern=r"^https?://")
    collection: CollectionName = "default"


class DocumentFilter(BaseModel):
    """Which documents to list; what is absent admits all.

    `collection`, `status` and `type` may be there several times.
    """

    model_config = ConfigDict(extra="forbid")

    collection: tuple[CollectionName, ...] | None = Field(default=None, max_length=100)
    status: tuple[DocumentStatus, ...] | None = None
    type: tuple[str, ...] | None = Field(default=None, max_length=100, description="Media types.")
    name: str | None = Field(
        default=None, min_length=1, max_length=MAX_NAME_CHARS, description="A part of the name, in any case."
    )
    archive: str | None = Field(default=None, description="Id of the archive that they came in.")
    dated_from: datetime | None = Field(default=None, description="Of then or later.")
    dated_before: datetime | None = Field(default=None, description="Of before then.")
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = None


@router.post("", status_code=202)
async def upload_document(
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    file: Annotated[UploadFile, File()],
    collection: Annotated[CollectionName, Form()] = "default",
) -> DocumentBody:
    """Upload a document; it is read and indexed in the background: follow its `events`, or its `status`.

    The same content again is the same document. Other content under the same name replaces it.
    """
    limit, size = edge.settings.gateway_max_upload_bytes, file.size or 0
    if size > limit:
        raise ParleyError(ErrorCode.TOO_LARGE, f"The file is larger than {limit} bytes.", field="file")
    if not size:
        raise ParleyError(ErrorCode.INVALID_REQUEST, "The file is empty.", field="file")
    request = CreateDocument(
        owner_id=principal.owner_id,
        collection=collection,
        name=file_name(file.filename),
        content_type=_media_type(file.content_type),
        size_bytes=size,
        sha256=await asyncio.to_thread(_sha256, file.file),
        is_sealed=True,
    )
    return await _ingest(edge, request, file.file)


def file_name(declared: str | None) -> str:
    """Return the name of an upload; one that no file may have is the file's fault."""
    name = (declared or "").strip() or "untitled"
    fault = name_fault(name)
    if fault is None and len(name) > MAX_NAME_CHARS:
        fault = f"Its name is longer than {MAX_NAME_CHARS} characters."
    if fault is not None:
        raise ParleyError(ErrorCode.INVALID_REQUEST, fault, field="file")
    return name


def _media_type(declared: str | None) -> str:
    """Return a media type as it was declared, unless it could not stand in a header of a download."""
    is_fit = declared and len(declared) <= MAX_TYPE_CHARS and declared.isascii() and declared.isprintable()
    return declared if declared and is_fit else "application/octet-stream"


def _sha256(file: BinaryIO) -> str:
    """Return the hash of a file, and go back to its beginning. What is uploaded is never whole in memory."""
    found = hashlib.sha256()
    while piece := file.read(PIECE_BYTES):
        found.update(piece)
    file.seek(0)
    return found.hexdigest()


@router.post("/url", status_code=202)
async def add_page(body: WebPage, edge: CurrentEdge, principal: CurrentPrincipal) -> DocumentBody:
    """Read a public web page and keep its text as a document named by its address.

    The same address again replaces it when its text has changed.
    """
    asked = ReadPage(owner_id=principal.owner_id, url=body.url, max_chars=PAGE_CHARS)
    try:
        page = await edge.bus.request(
            subjects.BROWSER_READ, asked, PageText, timeout_s=edge.settings.gateway_web_s
        )
    except ParleyError as error:
        raise ParleyError(error.code, error.message, retryable=error.retryable, field="url") from error
    data = page.text.encode()
    if not page.text.strip():
        raise ParleyError(ErrorCode.UNREADABLE_DOCUMENT, "The page holds no text.", field="url")
    request = CreateDocument(
        owner_id=principal.owner_id,
        collection=body.collection,
        name=_page_name(page.url),
        content_type="text/plain",
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        title=" ".join(page.title.split())[:300] or None,
        source_url=page.url,
        is_sealed=True,
    )
    return await _ingest(edge, request, data)


def _page_name(url: str) -> str:
    """Return an address as a name; one that is too long keeps its beginning and what tells it from others."""
    if len(url) <= MAX_NAME_CHARS:
        return url
    return f"{url[: MAX_NAME_CHARS - 17]} {hashlib.sha256(url.encode()).hexdigest()[:16]}"


async def _ingest(edge: Edge, request: CreateDocument, data: bytes | BinaryIO) -> DocumentBody:
    """Keep the original, then queue the job; rag finds out when this process dies between the two."""
    await edge.originals.make_ready()
    created = await edge.bus.request(subjects.RAG_CREATE_DOCUMENT, request, DocumentCreated, timeout_s=ASK_S)
    if created.needs_content:
        document_id = created.document.id
        if not created.document.is_sealed:
            raise ParleyError(ErrorCode.UNAVAILABLE, "Uploads cannot be kept safely now.")
        await edge.originals.put(request.owner_id, document_id, request.sha256, data)
        key = sealed_key(request.owner_id, document_id)
        job = IngestDocument(owner_id=request.owner_id, document_id=document_id, object_key=key)
        extra = {headers.CORRELATION_ID: document_id, **edge.bus.claims.of_job(subjects.RAG_INGEST)}
        try:
            await edge.bus.store(
                subjects.RAG_INGEST, job.model_dump_json().encode(), headers=outgoing(extra=extra)
            )
        except NotStoredError:
            raise ParleyError(ErrorCode.UNAVAILABLE, "The upload could not be queued now.") from None
    return DocumentBody(document=created.document)


@router.get("")
async def list_documents(
    edge: CurrentEdge, principal: CurrentPrincipal, wanted: Annotated[DocumentFilter, Query()]
) -> DocumentList:
    """List your documents, newest first."""
    request = ListDocuments(
        owner_id=principal.owner_id,
        collections=wanted.collection,
        statuses=wanted.status,
        content_types=wanted.type,
        name_part=wanted.name,
        archive_id=wanted.archive,
        dated_from_ms=as_ms(wanted.dated_from),
        dated_before_ms=as_ms(wanted.dated_before),
        limit=wanted.limit,
        cursor=wanted.cursor,
    )
    return await edge.bus.request(subjects.RAG_LIST_DOCUMENTS, request, DocumentList, timeout_s=ASK_S)


@router.get("/{document_id}")
async def read_document(document_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> DocumentBody:
    """Return a document with its status and progress."""
    request = ReadDocument(owner_id=principal.owner_id, document_id=document_id)
    found = await edge.bus.request(subjects.RAG_READ_DOCUMENT, request, Document, timeout_s=ASK_S)
    return DocumentBody(document=found)


@router.get("/{document_id}/events")
async def follow_document(document_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> Response:
    """Follow a document by server-sent events: as it stands, then after each change, until it is through."""
    events = DocumentEvents(edge.bus, principal.owner_id, document_id)
    await events.open()
    return EventStream(edge.sockets, events, principal)


@router.get("/{document_id}/original")
async def download_original(
    document_id: str,
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    wanted: Annotated[str | None, Header(alias="Range", description="One range of bytes.")] = None,
    unless_changed: Annotated[str | None, Header(alias="If-Range")] = None,
) -> Response:
    """Return a document's original as it was uploaded, or a range of it; of a web page, the text that was
    read."""
    request = ReadDocument(owner_id=principal.owner_id, document_id=document_id)
    found = await edge.bus.request(subjects.RAG_READ_DOCUMENT, request, Document, timeout_s=ASK_S)
    content = await _content_of(edge, request, found)
    file_name = f"{found.title or 'page'}.txt" if found.source_url else PurePosixPath(found.name).name
    tag = f'"{found.sha256}"'
    return await download(
        content,
        media_type=found.content_type,
        wanted=wanted if unless_changed in (None, tag) else None,
        headers={
            "ETag": tag,
            # Whatever was uploaded is never run as a page of this origin.
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file_name, safe='')}",
            "Content-Security-Policy": "sandbox",
        },
    )


async def _content_of(edge: Edge, request: ReadDocument, found: Document) -> Content:
    """Return a document's original; rag may have sealed it since it said how it is stored."""
    try:
        return await edge.originals.open(request.owner_id, found.id, found.sha256, is_sealed=found.is_sealed)
    except ParleyError as error:
        if error.code is not ErrorCode.NOT_FOUND or found.is_sealed:
            raise
    found = await edge.bus.request(subjects.RAG_READ_DOCUMENT, request, Document, timeout_s=ASK_S)
    return await edge.originals.open(request.owner_id, found.id, found.sha256, is_sealed=found.is_sealed)


@router.post("/{document_id}/cancel")
async def cancel_document(document_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> DocumentBody:
    """Index a document no further; its original is kept. One that is through is a `conflict`."""
    request = CancelDocument(owner_id=principal.owner_id, document_id=document_id)
    found = await edge.bus.request(subjects.RAG_CANCEL_DOCUMENT, request, Document, timeout_s=ASK_S)
    return DocumentBody(document=found)


@router.post("/{document_id}/reindex", status_code=202)
async def reindex_document(document_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> DocumentBody:
    """Have a document read again; it serves until its new passages take the place of the old ones."""
    request = ReindexDocument(owner_id=principal.owner_id, document_id=document_id)
    found = await edge.bus.request(subjects.RAG_REINDEX_DOCUMENT, request, Document, timeout_s=ASK_S)
    return DocumentBody(document=found)


@router.delete("/{document_id}")
async def delete_document(document_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> Done:
    """Remove a document with everything that was made of it, an archive with all that came in it."""
    request = DeleteDocument(owner_id=principal.owner_id, document_id=document_id)
    return await edge.bus.request(subjects.RAG_DELETE_DOCUMENT, request, Done, timeout_s=DELETE_S)


@router.get("/{document_id}/passage")
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
