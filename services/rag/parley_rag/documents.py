"""An owner's documents: made room for, listed, replaced and removed. Every query names the owner."""

from collections.abc import Callable, Sequence
from uuid import uuid4

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import CreateDocument, Document, DocumentStatus
from sqlalchemy import ColumnElement, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from parley_rag.clock import now_ms
from parley_rag.database import Database
from parley_rag.document_collections import ensure_collection
from parley_rag.indexed_passages import language_of, note_indexed, note_none_indexed
from parley_rag.removals import remove_row
from parley_rag.tables import DocumentRow
from parley_rag.words import Terms


def no_such_document() -> ParleyError:
    """Return the one answer for ids that are missing and for ids of somebody else."""
    return ParleyError(ErrorCode.NOT_FOUND, "There is no such document.", field="document_id")


def object_key(owner_id: str, document_id: str) -> str:
    """Return where the gateway puts a document's original."""
    return f"{owner_id}/{document_id}"


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
    )


class Documents:
    """The documents table."""

    def __init__(self, database: Database, *, language: str, clock_ms: Callable[[], int] = now_ms) -> None:
        self._database = database
        self._language = language
        self._clock_ms = clock_ms

    async def create(self, request: CreateDocument) -> tuple[Document, bool]:
        """Return the document of this content, and whether its content has to be put (again)."""
        try:
            return await self._create(request)
        except IntegrityError:  # another request made the same document between our look and our write
            return await self._create(request)

    async def _create(self, request: CreateDocument) -> tuple[Document, bool]:
        async with self._database.writing() as session:
            now = self._clock_ms()
            await ensure_collection(session, request.owner_id, request.collection, self._language, now)
            row = await session.scalar(
                select(DocumentRow).where(
                    DocumentRow.owner_id == request.owner_id,
                    DocumentRow.collection == request.collection,
                    DocumentRow.sha256 == request.sha256,
                )
            )
            if row is None:
                row = _new_row(request, now)
                session.add(row)
            row.wanted_at_ms = now
            needs_content = row.status != DocumentStatus.READY
            if row.status == DocumentStatus.FAILED:
                row.status, row.error = DocumentStatus.QUEUED, None
            return as_document(row), needs_content

    async def read(self, owner_id: str, document_id: str) -> Document:
        """Return one document; `not_found` when it is not the owner's."""
        return as_document(await self.row(owner_id, document_id))

    async def row(self, owner_id: str, document_id: str) -> DocumentRow:
        """Return one document's row; `not_found` when it is not the owner's."""
        async with self._database.reading() as session:
            row = await session.scalar(select(DocumentRow).where(*_this(owner_id, document_id)))
        if row is None:
            raise no_such_document()
        return row

    async def language(self, document: DocumentRow) -> str:
        """Return the language that a document's words are cut in."""
        async with self._database.reading() as session:
            return await language_of(session, document)

    async def page(
        self, owner_id: str, collection: str | None, limit: int, cursor: str | None
    ) -> tuple[list[Document], str | None]:
        """Return documents, newest first, and the cursor of the next page."""
        query = select(DocumentRow).where(DocumentRow.owner_id == owner_id)
        if collection is not None:
            query = query.where(DocumentRow.collection == collection)
        if cursor is not None:
            created_at_ms, document_id = _parse_cursor(cursor)
            query = query.where(
                tuple_(DocumentRow.created_at_ms, DocumentRow.id) < (created_at_ms, document_id)
            )
        query = query.order_by(DocumentRow.created_at_ms.desc(), DocumentRow.id.desc()).limit(limit + 1)
        async with self._database.reading() as session:
            rows = list(await session.scalars(query))
        last = rows[limit - 1] if len(rows) > limit else None
        return [as_document(row) for row in rows[:limit]], last and f"{last.created_at_ms}.{last.id}"

    async def update(self, owner_id: str, document_id: str, **values: object) -> bool:
        """Write values of one document; False when it is gone."""
        async with self._database.writing() as session:
            changed = await session.scalar(
                update(DocumentRow)
                .where(*_this(owner_id, document_id))
                .values(**values)
                .returning(DocumentRow.id)
            )
        return changed is not None

    async def advance(self, document: DocumentRow, done: int, passages: Sequence[Terms]) -> None:
        """Note that the passages from `done` on are indexed by these terms.

        Raises:
            ParleyError: `not_found` when the document is gone, `conflict` when somebody else is indexing it.
        """
        async with self._database.writing() as session:
            if await note_indexed(session, document, done, passages):
                return
        await self.row(document.owner_id, document.id)
        raise ParleyError(ErrorCode.CONFLICT, "The document is being indexed elsewhere.")

    async def rewind(self, owner_id: str, document_id: str) -> None:
        """Note that nothing of a document is indexed any more; one that is gone is let be."""
        async with self._database.writing() as session:
            row = await session.scalar(select(DocumentRow).where(*_this(owner_id, document_id)))
            if row is not None:
                await note_none_indexed(session, row)

    async def finish(self, owner_id: str, document_id: str) -> bool:
        """Mark a document ready and drop what it replaces; False when it is gone or replaced itself."""
        async with self._database.writing() as session:
            row = await session.scalar(select(DocumentRow).where(*_this(owner_id, document_id)))
            if row is None:
                return False
            namesakes = list(
                await session.scalars(
                    select(DocumentRow).where(
                        DocumentRow.owner_id == owner_id,
                        DocumentRow.collection == row.collection,
                        DocumentRow.name == row.name,
                        DocumentRow.id != row.id,
                    )
                )
            )
            if any(other.status == DocumentStatus.READY and _wanted_after(other, row) for other in namesakes):
                await remove_row(session, row)
                return False
            for other in namesakes:
                if not _wanted_after(other, row):
                    await remove_row(session, other)
            row.status, row.error = DocumentStatus.READY, None
            return True

    async def remove(self, owner_id: str, document_id: str) -> None:
        """Remove a document's rows and note what else has to go; `not_found` when it is not the owner's."""
        async with self._database.writing() as session:
            row = await session.scalar(select(DocumentRow).where(*_this(owner_id, document_id)))
            if row is None:
                raise no_such_document()
            await remove_row(session, row)


def _this(owner_id: str, document_id: str) -> tuple[ColumnElement[bool], ...]:
    return DocumentRow.owner_id == owner_id, DocumentRow.id == document_id


def _new_row(request: CreateDocument, now: int) -> DocumentRow:
    document_id = str(uuid4())
    return DocumentRow(
        id=document_id,
        owner_id=request.owner_id,
        collection=request.collection,
        name=request.name,
        title=None,
        content_type=request.content_type,
        size_bytes=request.size_bytes,
        sha256=request.sha256,
        status=DocumentStatus.QUEUED,
        error=None,
        pages=None,
        chunks=0,
        chunks_done=0,
        object_key=object_key(request.owner_id, document_id),
        created_at_ms=now,
        wanted_at_ms=now,
    )


def _wanted_after(one: DocumentRow, other: DocumentRow) -> bool:
    return (one.wanted_at_ms, one.created_at_ms) > (other.wanted_at_ms, other.created_at_ms)


def _parse_cursor(cursor: str) -> tuple[int, str]:
    created_at_ms, dot, document_id = cursor.partition(".")
    if not (created_at_ms.isdecimal() and len(created_at_ms) < 19 and dot and document_id):
        raise ParleyError(ErrorCode.INVALID_REQUEST, "This cursor was not given out here.", field="cursor")
    return int(created_at_ms), document_id
