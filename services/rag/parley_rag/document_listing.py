"""A page of an owner's documents, newest first, through filters."""

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import Document, DocumentList, DocumentStatus, ListDocuments
from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from parley_rag.tables import DocumentRow


def as_document(row: DocumentRow) -> Document:
    """Return a row as its owner sees it."""
    return Document(
        id=row.id,
        name=row.name,
        collection=row.collection,
        content_type=row.content_type,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        status=DocumentStatus(row.status),
        error=row.error,
        pages=row.pages,
        chunks=row.chunks,
        chunks_done=row.chunks_done,
        created_at_ms=row.created_at_ms,
        title=row.title,
        author=row.author,
        source_url=row.source_url,
        language=row.language,
        written_at_ms=row.written_at_ms,
        modified_at_ms=row.modified_at_ms,
        archive_id=row.archive_id,
        members=row.members,
        members_done=row.members_done,
        is_sealed=row.is_sealed,
        is_reindexing=row.status == DocumentStatus.READY and (row.is_reread or row.chunks_done < row.chunks),
    )


async def listed(session: AsyncSession, request: ListDocuments) -> DocumentList:
    """Return the documents that a request admits.

    Raises:
        ParleyError: `invalid_request` for a cursor that was not given out here.
    """
    query = select(DocumentRow).where(*_admitted(request))
    if request.cursor is not None:
        query = query.where(tuple_(DocumentRow.created_at_ms, DocumentRow.id) < _parse_cursor(request.cursor))
    query = query.order_by(DocumentRow.created_at_ms.desc(), DocumentRow.id.desc()).limit(request.limit + 1)
    rows = list(await session.scalars(query))
    last = rows[request.limit - 1] if len(rows) > request.limit else None
    return DocumentList(
        documents=tuple(as_document(row) for row in rows[: request.limit]),
        next_cursor=last and f"{last.created_at_ms}.{last.id}",
    )


def _admitted(request: ListDocuments) -> list[ColumnElement[bool]]:
    dated_ms = func.coalesce(DocumentRow.modified_at_ms, DocumentRow.written_at_ms, DocumentRow.created_at_ms)
    wanted: list[ColumnElement[bool]] = [DocumentRow.owner_id == request.owner_id]
    if request.collections is not None:
        wanted.append(DocumentRow.collection.in_(request.collections))
    elif request.collection is not None:
        wanted.append(DocumentRow.collection == request.collection)
    if request.statuses is not None:
        wanted.append(DocumentRow.status.in_(request.statuses))
    if request.content_types is not None:
        wanted.append(DocumentRow.content_type.in_(request.content_types))
    if request.name_part is not None:
        wanted.append(DocumentRow.name.icontains(request.name_part, autoescape=True))
    if request.archive_id is not None:
        wanted.append(DocumentRow.archive_id == request.archive_id)
    if request.dated_from_ms is not None:
        wanted.append(dated_ms >= request.dated_from_ms)
    if request.dated_before_ms is not None:
        wanted.append(dated_ms < request.dated_before_ms)
    return wanted


def _parse_cursor(cursor: str) -> tuple[int, str]:
    created_at_ms, dot, document_id = cursor.partition(".")
    if not (created_at_ms.isdecimal() and len(created_at_ms) < 19 and dot and document_id):
        raise ParleyError(ErrorCode.INVALID_REQUEST, "This cursor was not given out here.", field="cursor")
    return int(created_at_ms), document_id
