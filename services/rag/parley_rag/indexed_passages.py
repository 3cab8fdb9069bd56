"""How far a document is indexed; the owner's word statistics move in the same transactions."""

import asyncio
from collections.abc import Sequence
from pathlib import PurePosixPath

from parley_contracts.rag import DocumentStatus
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from parley_rag.tables import ChunkRow, CollectionRow, DocumentRow
from parley_rag.word_statistics import count_passages
from parley_rag.words import Terms, weights_of

_DISCOUNTED = 2000  # passages a transaction: a tenth of a second, in which nobody else writes
_HEADING_CHARS = 160  # leaves the model's window to the passage


def indexed_text(document: DocumentRow, heading: str | None, text: str, context: str | None = None) -> str:
    """Return what is embedded and word-searched for a passage: title, headings and context, then its text."""
    title = document.title or PurePosixPath(document.name).stem
    heading = heading or ""
    above = heading if heading.startswith(title) else " > ".join(part for part in (title, heading) if part)
    if len(above) > _HEADING_CHARS:  # the innermost headings say most
        above = above[-_HEADING_CHARS:].partition(" ")[2] or above[-_HEADING_CHARS:]
    return f"{above}\n{context}\n{text}" if context else f"{above}\n{text}"


def dated_ms(document: DocumentRow) -> int:
    """Return the date that a document is found by: when it was last changed, as far as it says so."""
    return document.modified_at_ms or document.written_at_ms or document.created_at_ms


async def language_of(session: AsyncSession, document: DocumentRow) -> str:
    """Return the language that a document's words are cut in: its collection's."""
    key = (document.owner_id, document.collection)
    collection = await session.get_one(CollectionRow, key)
    return collection.language


async def terms_of(texts: Sequence[str], language: str) -> list[Terms]:
    """Return the terms of passages, cut in a thread: it takes 30 microseconds a passage."""
    words = weights_of(language)
    return await asyncio.to_thread(lambda: [words.of_passage(text) for text in texts])


async def note_indexed(
    session: AsyncSession, document: DocumentRow, done: int, passages: Sequence[Terms]
) -> bool:
    """Note that the passages from `done` on are indexed by these terms.

    False says that the document is gone, or cancelled, or stands elsewhere.
    """
    moved = await session.scalar(
        update(DocumentRow)
        .where(
            DocumentRow.id == document.id,
            DocumentRow.owner_id == document.owner_id,
            DocumentRow.chunks_done == done,
            DocumentRow.status != DocumentStatus.CANCELLED,
        )
        .values(chunks_done=done + len(passages))
        .returning(DocumentRow.id)
    )
    if moved is None:
        return False
    await count_passages(session, document.owner_id, [terms for terms, _ in passages])
    return True


async def note_none_indexed(session: AsyncSession, document: DocumentRow) -> None:
    """Note that nothing of a document is indexed any more."""
    while await note_fewer_indexed(session, document):
        pass


async def note_fewer_indexed(session: AsyncSession, document: DocumentRow) -> bool:
    """Note that the last passages of those indexed are no longer; return whether others still are.

    In a transaction each, a long document lets others write between.
    """
    if not document.chunks_done:
        return False
    first = max(0, document.chunks_done - _DISCOUNTED)
    chunks = select(ChunkRow.heading, ChunkRow.text, ChunkRow.context).where(
        ChunkRow.owner_id == document.owner_id,
        ChunkRow.document_id == document.id,
        ChunkRow.ordinal >= first,
        ChunkRow.ordinal < document.chunks_done,
    )
    rows = (await session.execute(chunks)).all()
    texts = [indexed_text(document, heading, text, context) for heading, text, context in rows]
    passages = await terms_of(texts, await language_of(session, document))
    await count_passages(session, document.owner_id, [terms for terms, _ in passages], sign=-1)
    document.chunks_done = first
    return first > 0
