"""What is left of a removed document: its vectors and its original go after its rows, even after a crash."""

import logging
from typing import Protocol

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from parley_rag.database import Database
from parley_rag.indexed_passages import note_none_indexed
from parley_rag.tables import ArchiveMemberRow, DocumentRow, RemovalRow
from parley_rag.vectors import VectorIndex

_log = logging.getLogger("parley.rag")


class Originals(Protocol):
    """Where uploaded originals are kept."""

    async def delete(self, key: str) -> None: ...


async def remove_row(session: AsyncSession, row: DocumentRow) -> None:
    """Delete a document with its text and passages, and note in the same transaction what must follow."""
    await note_none_indexed(session, row)
    await session.merge(RemovalRow(document_id=row.id, owner_id=row.owner_id, object_key=row.object_key))
    await session.delete(row)


async def members_of(session: AsyncSession, row: DocumentRow) -> list[DocumentRow]:
    """Return the documents that came in a document; none of them is an archive itself."""
    members = select(DocumentRow).where(
        DocumentRow.owner_id == row.owner_id, DocumentRow.archive_id == row.id
    )
    return list(await session.scalars(members))


async def remove_with_members(session: AsyncSession, row: DocumentRow) -> None:
    """Delete a document, and what came in it unless it is in another archive too."""
    for member in await members_of(session, row):
        elsewhere = await session.scalar(
            select(ArchiveMemberRow.archive_id)
            .where(ArchiveMemberRow.document_id == member.id, ArchiveMemberRow.archive_id != row.id)
            .limit(1)
        )
        if elsewhere is None:
            await remove_row(session, member)
        else:
            member.archive_id = elsewhere
    await remove_row(session, row)


class Removals:
    """Removes vectors and originals of documents that are gone."""

    def __init__(self, database: Database, index: VectorIndex, originals: Originals) -> None:
        self._database = database
        self._index = index
        self._originals = originals

    async def finish(self) -> int:
        """Carry out every removal that is noted; return how many there were."""
        async with self._database.reading() as session:
            noted = list(await session.scalars(select(RemovalRow)))
        for removal in noted:
            await self._index.remove_document(removal.owner_id, removal.document_id)
            if removal.object_key:
                await self._originals.delete(removal.object_key)
            async with self._database.writing() as session:
                await session.execute(delete(RemovalRow).where(RemovalRow.document_id == removal.document_id))
            _log.info("document removed", extra={"document_id": removal.document_id})
        return len(noted)
