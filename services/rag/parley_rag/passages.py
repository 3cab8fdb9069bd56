"""Texts and passages of documents in the database. Every query names the owner."""

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from parley_contracts.citations import DocumentRef, Passage
from parley_contracts.rag import DocumentStatus
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from parley_rag.chunking import Chunk, page_at
from parley_rag.database import Database
from parley_rag.indexed_passages import note_none_indexed
from parley_rag.reading import ReadText
from parley_rag.tables import ChunkRow, DocumentRow, DocumentTextRow

_INSERT_ROWS = 500
_SHOWN = (
    *(ChunkRow.id, ChunkRow.text, ChunkRow.page, ChunkRow.heading),
    *(ChunkRow.start_offset, ChunkRow.end_offset),
    *(DocumentRow.id, DocumentRow.name, DocumentRow.collection),
    *(DocumentRow.owner_id, DocumentRow.status),
)
_LAST_OFFSET = 2**31 - 2  # `substr` of PostgreSQL counts in 32 bits, from one


@dataclass(frozen=True, slots=True)
class Span:
    """A span of a document's text with what stands around it."""

    before: str
    text: str
    after: str
    page: int | None


def chunk_id(document_id: str, ordinal: int) -> str:
    """Return the id of a document's passage: the same whenever the document is read again."""
    return str(uuid5(UUID(document_id), str(ordinal)))


def text_hash(text: str) -> str:
    """Return what tells a text from another one."""
    return hashlib.sha256(text.encode()).hexdigest()


class Passages:
    """The texts and chunks tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, document: DocumentRow, read: ReadText) -> DocumentRow | None:
        """Store what was read in place of what was stored; return the document as it stands then.

        What is indexed already of the same passages stays noted, but for a document that is read again.
        None says that the document is gone or cancelled.
        """
        rows = await asyncio.to_thread(_chunk_rows, document, read)
        async with self._database.writing() as session:
            current = await session.get(DocumentRow, document.id)
            if current is None or current.owner_id != document.owner_id:
                return None
            if current.status == DocumentStatus.CANCELLED:
                return None
            holds = await _holds(session, document, rows) and (rows or not read.text)
            title = read.title or current.title
            if current.is_reread or not holds or current.title != title:
                await note_none_indexed(session, current)
            if not holds:
                await _replace(session, document, read, rows)
            current.title, current.content_type = title, read.content_type
            current.author, current.language = read.metadata.author, read.metadata.language
            current.written_at_ms = read.metadata.written_at_ms
            current.modified_at_ms = read.metadata.modified_at_ms
            current.pages, current.chunks = len(read.page_starts) or None, len(rows)
            current.is_reread = False
            return current

    async def of_document(self, owner_id: str, document_id: str, first: int, count: int) -> list[ChunkRow]:
        """Return `count` passages of a document from ordinal `first` on."""
        query = (
            select(ChunkRow)
            .where(
                ChunkRow.owner_id == owner_id, ChunkRow.document_id == document_id, ChunkRow.ordinal >= first
            )
            .order_by(ChunkRow.ordinal)
            .limit(count)
        )
        async with self._database.reading() as session:
            return list(await session.scalars(query))

    async def by_id(self, owner_id: str, ids: Iterable[str]) -> dict[str, Passage]:
        """Return the owner's passages of ready documents among these ids, their scores unset."""
        # Nothing is asked about documents: SQLite would begin with all of the owner's and read every passage.
        query = (
            select(*_SHOWN)
            .join(DocumentRow, DocumentRow.id == ChunkRow.document_id)
            .where(ChunkRow.owner_id == owner_id, ChunkRow.id.in_(list(ids)))
        )
        async with self._database.reading() as session:
            rows = (await session.execute(query)).all()
        return {
            id_: Passage(
                text=text,
                score=0.0,
                document=DocumentRef(id=document_id, name=name, collection=collection),
                page=page,
                heading=heading,
                start=start,
                end=end,
            )
            for id_, text, page, heading, start, end, document_id, name, collection, of_owner, status in rows
            if of_owner == owner_id and status == DocumentStatus.READY
        }

    async def span(self, owner_id: str, document_id: str, start: int, end: int, around: int) -> Span | None:
        """Return a span cut to the text's ends; None when the document has no text (yet)."""
        start, end = min(start, _LAST_OFFSET), min(end, _LAST_OFFSET)
        column = DocumentTextRow.text
        before_start = max(0, start - around)
        query = select(
            func.substr(column, before_start + 1, start - before_start),
            func.substr(column, start + 1, end - start),
            func.substr(column, end + 1, around),
            DocumentTextRow.page_starts,
        ).where(DocumentTextRow.owner_id == owner_id, DocumentTextRow.document_id == document_id)
        async with self._database.reading() as session:
            row = (await session.execute(query)).one_or_none()
        if row is None:
            return None
        before, text, after, page_starts = row
        return Span(before, text, after, page_at(page_starts, start))


def _chunk_rows(document: DocumentRow, read: ReadText) -> list[dict[str, object]]:
    return [_chunk_row(document, read.text, ordinal, chunk) for ordinal, chunk in enumerate(read.chunks)]


def _chunk_row(document: DocumentRow, text: str, ordinal: int, chunk: Chunk) -> dict[str, object]:
    passage = text[chunk.start : chunk.end]
    return {
        "id": chunk_id(document.id, ordinal),
        "owner_id": document.owner_id,
        "document_id": document.id,
        "ordinal": ordinal,
        "start_offset": chunk.start,
        "end_offset": chunk.end,
        "page": chunk.page,
        "heading": chunk.heading,
        "context": chunk.context,
        "text": passage,
        "text_hash": text_hash(passage),
    }


async def _holds(session: AsyncSession, document: DocumentRow, rows: Sequence[dict[str, object]]) -> bool:
    """Return whether exactly these passages are stored."""
    columns = ("id", "start_offset", "end_offset", "page", "heading", "context", "text_hash")
    query = (
        select(*(getattr(ChunkRow, column) for column in columns))
        .where(ChunkRow.owner_id == document.owner_id, ChunkRow.document_id == document.id)
        .order_by(ChunkRow.ordinal)
    )
    stored = [tuple(row) for row in (await session.execute(query)).all()]
    return stored == [tuple(row[column] for column in columns) for row in rows]


async def _replace(
    session: AsyncSession, document: DocumentRow, read: ReadText, rows: list[dict[str, object]]
) -> None:
    await session.execute(delete(ChunkRow).where(ChunkRow.document_id == document.id))
    await session.execute(delete(DocumentTextRow).where(DocumentTextRow.document_id == document.id))
    session.add(
        DocumentTextRow(
            document_id=document.id,
            owner_id=document.owner_id,
            text=read.text,
            page_starts=list(read.page_starts),
        )
    )
    for at in range(0, len(rows), _INSERT_ROWS):
        await session.execute(insert(ChunkRow), rows[at : at + _INSERT_ROWS])
