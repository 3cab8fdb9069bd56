"""An owner's documents: made room for, followed through their jobs, replaced and removed.

Every query names the owner.
"""

from collections.abc import Callable, Sequence
from uuid import uuid4

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import (
    CreateDocument,
    Document,
    DocumentList,
    DocumentStatus,
    ListDocuments,
    original_key,
)
from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from parley_rag.clock import now_ms
from parley_rag.database import Database
from parley_rag.document_collections import ensure_collection
from parley_rag.document_listing import as_document, listed
from parley_rag.indexed_passages import language_of, note_fewer_indexed, note_indexed, note_none_indexed
from parley_rag.removals import remove_some_with_members
from parley_rag.tables import ArchiveMemberRow, DocumentRow, OriginalForm
from parley_rag.words import Terms

UNDER_WAY = (DocumentStatus.QUEUED, DocumentStatus.INGESTING)
STOPPED = (DocumentStatus.FAILED, DocumentStatus.CANCELLED)


def no_such_document() -> ParleyError:
    """Return the one answer for ids that are missing and for ids of somebody else."""
    return ParleyError(ErrorCode.NOT_FOUND, "There is no such document.", field="document_id")


def this(owner_id: str, document_id: str) -> tuple[ColumnElement[bool], ...]:
    """Return the condition that selects one document of an owner."""
    return DocumentRow.owner_id == owner_id, DocumentRow.id == document_id


async def begin_anew(session: AsyncSession, row: DocumentRow, job_at_ms: int) -> None:
    """Put a document that failed or was cancelled in the queue again, an archive with all that came in it."""
    row.status, row.error, row.job_at_ms = DocumentStatus.QUEUED, None, job_at_ms
    row.members = row.members_done = None
    await session.execute(delete(ArchiveMemberRow).where(ArchiveMemberRow.archive_id == row.id))


class Documents:
    """The documents table."""

    def __init__(self, database: Database, *, language: str, clock_ms: Callable[[], int] = now_ms) -> None:
        self._database = database
        self._language = language
        self._clock_ms = clock_ms

    async def create(
        self, request: CreateDocument, archive: DocumentRow | None = None
    ) -> tuple[Document, bool]:
        """Return the document of this content, and whether its content has to be put (again).

        Of a file in an archive it is the archive's, unless its owner has also uploaded it alone.

        Raises:
            ParleyError: `not_found` when the archive is gone, `cancelled` when it was cancelled.
        """
        try:
            return await self._create(request, archive)
        except IntegrityError:  # another request made the same document between our look and our write
            return await self._create(request, archive)

    async def _create(self, request: CreateDocument, archive: DocumentRow | None) -> tuple[Document, bool]:
        async with self._database.writing() as session:
            if archive is not None:
                await _insist_on(session, archive)
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
                row.archive_id = archive and archive.id
                session.add(row)
            elif archive is None or row.archive_id is not None:
                row.archive_id = archive and archive.id
            row.wanted_at_ms = now
            if row.status != DocumentStatus.READY:  # its content is put again
                row.original_form = _form(request, row)
            if row.status in STOPPED:
                await begin_anew(session, row, now)
            return as_document(row), row.status != DocumentStatus.READY

    async def read(self, owner_id: str, document_id: str) -> Document:
        """Return one document; `not_found` when it is not the owner's."""
        return as_document(await self.row(owner_id, document_id))

    async def row(self, owner_id: str, document_id: str) -> DocumentRow:
        """Return one document's row; `not_found` when it is not the owner's."""
        async with self._database.reading() as session:
            return await owned(session, owner_id, document_id)

    async def language(self, document: DocumentRow) -> str:
        """Return the language that a document's words are cut in."""
        async with self._database.reading() as session:
            return await language_of(session, document)

    async def page(self, request: ListDocuments) -> DocumentList:
        """Return documents, newest first."""
        async with self._database.reading() as session:
            return await listed(session, request)

    # -- a job's steps -----------------------------------------------------------------------------

    async def begin(self, owner_id: str, document_id: str) -> bool:
        """Note that a document is being read; False when it is gone or no longer to be read."""
        return await self._update(
            owner_id,
            document_id,
            DocumentRow.status.in_(UNDER_WAY),
            status=DocumentStatus.INGESTING.value,
            error=None,
        )

    async def settle(self, document: DocumentRow) -> None:
        """Note that a document needs no job, unless one was asked for since it was looked at."""
        await self._update(
            document.owner_id, document.id, DocumentRow.job_at_ms == document.job_at_ms, job_at_ms=None
        )

    async def _update(
        self, owner_id: str, document_id: str, condition: ColumnElement[bool], **values: object
    ) -> bool:
        async with self._database.writing() as session:
            changed = await session.scalar(
                update(DocumentRow)
                .where(*this(owner_id, document_id), condition)
                .values(**values)
                .returning(DocumentRow.id)
            )
        return changed is not None

    async def advance(self, document: DocumentRow, done: int, passages: Sequence[Terms]) -> bool:
        """Note that the passages from `done` on are indexed by these terms.

        False says that the document is gone, or cancelled, or that somebody else is indexing it.
        """
        async with self._database.writing() as session:
            return await note_indexed(session, document, done, passages)

    async def rewind(self, owner_id: str, document_id: str) -> None:
        """Note that nothing of a document is indexed any more; one that is gone is let be."""
        async with self._database.writing() as session:
            row = await session.scalar(select(DocumentRow).where(*this(owner_id, document_id)))
            if row is not None:
                await note_none_indexed(session, row)

    async def fail(self, owner_id: str, document_id: str, reason: str) -> bool:
        """Note why a document cannot be read; False when it serves on with the passages that it has."""
        async with self._database.writing() as session:
            row = await session.scalar(select(DocumentRow).where(*this(owner_id, document_id)))
            if row is None:
                return True
            row.error, row.job_at_ms = reason, None
            if row.status == DocumentStatus.READY and row.is_reread:
                row.is_reread = False
                return False
            await note_none_indexed(session, row)
            if row.status != DocumentStatus.CANCELLED:
                row.status = DocumentStatus.FAILED
            return True

    async def clear(self, owner_id: str, document_id: str) -> bool:
        """Note that nothing of a cancelled document is indexed; False when it was begun anew meanwhile."""
        is_clear = False
        while not is_clear:
            async with self._database.writing() as session:
                row = await session.scalar(select(DocumentRow).where(*this(owner_id, document_id)))
                if row is None or row.status != DocumentStatus.CANCELLED:
                    return False
                is_clear = not await note_fewer_indexed(session, row)
                row.job_at_ms = None if is_clear else row.job_at_ms
        return True

    async def finish(self, owner_id: str, document_id: str, error: str | None = None) -> str:
        """Mark a document ready, drop what it replaces: `ready`, else `replaced`, `cancelled` or `gone`."""
        ended = None
        while ended is None:
            ended = await self._finish(owner_id, document_id, error)
        return ended

    async def _finish(self, owner_id: str, document_id: str, error: str | None) -> str | None:
        """Finish a document; None when so much is to be dropped that it takes another transaction."""
        async with self._database.writing() as session:
            row = await session.scalar(select(DocumentRow).where(*this(owner_id, document_id)))
            if row is None or row.status == DocumentStatus.CANCELLED:
                return "gone" if row is None else "cancelled"
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
                return "replaced" if await remove_some_with_members(session, row) else None
            for other in namesakes:
                if not _wanted_after(other, row) and not await remove_some_with_members(session, other):
                    return None
            row.status, row.error = DocumentStatus.READY, error
            row.job_at_ms = row.job_at_ms if row.is_reread else None
            return "ready"

    async def remove(self, owner_id: str, document_id: str) -> None:
        """Remove a document's rows and note what else has to go; `not_found` when it is not the owner's."""
        is_gone = False
        while not is_gone:
            async with self._database.writing() as session:
                row = await owned(session, owner_id, document_id)
                is_gone = await remove_some_with_members(session, row)


async def owned(session: AsyncSession, owner_id: str, document_id: str) -> DocumentRow:
    """Return one document's row; `not_found` when it is not the owner's."""
    row = await session.scalar(select(DocumentRow).where(*this(owner_id, document_id)))
    if row is None:
        raise no_such_document()
    return row


async def _insist_on(session: AsyncSession, archive: DocumentRow) -> None:
    row = await owned(session, archive.owner_id, archive.id)
    if row.status == DocumentStatus.CANCELLED:
        raise ParleyError(ErrorCode.CANCELLED, "The archive was cancelled.")


def _new_row(request: CreateDocument, now: int) -> DocumentRow:
    document_id = str(uuid4())
    return DocumentRow(
        id=document_id,
        owner_id=request.owner_id,
        collection=request.collection,
        name=request.name,
        title=request.title,
        content_type=request.content_type,
        size_bytes=request.size_bytes,
        sha256=request.sha256,
        status=DocumentStatus.QUEUED,
        error=None,
        pages=None,
        chunks=0,
        chunks_done=0,
        object_key=original_key(request.owner_id, document_id),
        created_at_ms=now,
        wanted_at_ms=now,
        source_url=request.source_url,
        job_at_ms=now,
        is_reread=False,
        original_form=OriginalForm.SEALED if request.is_sealed else OriginalForm.PLAIN,
    )


def _form(request: CreateDocument, row: DocumentRow) -> OriginalForm:
    """Return how an original will be stored that is put in the place of what is there, or of nothing yet."""
    if not request.is_sealed:
        return OriginalForm.PLAIN
    return OriginalForm.SEALED if row.original_form == OriginalForm.SEALED else OriginalForm.BOTH


def _wanted_after(one: DocumentRow, other: DocumentRow) -> bool:
    return (one.wanted_at_ms, one.created_at_ms) > (other.wanted_at_ms, other.created_at_ms)
