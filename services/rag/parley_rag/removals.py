"""What is left of a removed document: its vectors and its original go after its rows, even after a crash."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from parley_rag.database import Database
from parley_rag.indexed_passages import note_fewer_indexed
from parley_rag.tables import ArchiveMemberRow, DocumentRow, FeedbackRow, RemovalRow, TermRow
from parley_rag.vectors import VectorIndex

_log = logging.getLogger("parley.rag")
_AGAIN_S = 30.0
_PASSAGES_AT_ONCE = 2000  # of documents removed in one transaction
MOST_AT_ONCE = 200
"""Documents removed in one transaction, at most."""


class Originals(Protocol):
    """Where uploaded originals are kept."""

    async def delete(self, owner_id: str, document_id: str) -> None: ...


async def members_of(session: AsyncSession, row: DocumentRow, limit: int | None = None) -> list[DocumentRow]:
    """Return the documents that came in a document; none of them is an archive itself."""
    members = select(DocumentRow).where(
        DocumentRow.owner_id == row.owner_id, DocumentRow.archive_id == row.id
    )
    return list(await session.scalars(members.limit(limit)))


async def remove_some(session: AsyncSession, rows: Sequence[DocumentRow]) -> bool:
    """Delete documents, or the first of them; True once all are gone.

    A transaction takes so much of it as others can wait for: commit, and go on in the next one.
    """
    left = _PASSAGES_AT_ONCE
    for row in rows:
        if left <= 0:
            return False
        left -= row.chunks_done
        if await note_fewer_indexed(session, row):
            row.job_at_ms = 0  # should nobody go on with the removal, it is indexed again
            return False
        await session.merge(RemovalRow(document_id=row.id, owner_id=row.owner_id, object_key=row.object_key))
        await session.execute(
            delete(FeedbackRow).where(FeedbackRow.owner_id == row.owner_id, FeedbackRow.document_id == row.id)
        )
        await session.delete(row)
    return True


async def remove_some_with_members(session: AsyncSession, row: DocumentRow) -> bool:
    """Delete a document as `remove_some`, what came in it first, unless that is in another archive too."""
    members = await members_of(session, row, MOST_AT_ONCE)
    alone: list[DocumentRow] = []
    for member in members:
        elsewhere = await session.scalar(
            select(ArchiveMemberRow.archive_id)
            .where(ArchiveMemberRow.document_id == member.id, ArchiveMemberRow.archive_id != row.id)
            .limit(1)
        )
        if elsewhere is None:
            alone.append(member)
        else:
            member.archive_id = elsewhere
    are_all = len(members) < MOST_AT_ONCE
    return await remove_some(session, [*alone, row] if are_all else alone) and are_all


class Removals:
    """Removes vectors and originals of documents that are gone."""

    def __init__(self, database: Database, index: VectorIndex, originals: Originals) -> None:
        self._database = database
        self._index = index
        self._originals = originals
        self._is_wanted = asyncio.Event()

    def start(self) -> None:
        """Have `run` carry out what is noted now."""
        self._is_wanted.set()

    async def run(self) -> None:
        """Carry out what is noted, when asked to and from time to time, until cancelled."""
        while True:
            self._is_wanted.clear()
            try:
                await self.finish()
            except Exception:  # noqa: BLE001 - the boundary of the loop: what is noted stays so
                _log.exception("removal postponed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_S):
                    await self._is_wanted.wait()

    async def finish(self) -> int:
        """Carry out every removal that is noted; return how many there were."""
        async with self._database.reading() as session:
            noted = list(await session.scalars(select(RemovalRow)))
        return await self._carry_out(noted)

    async def finish_some(self, owner_id: str, limit: int) -> int:
        """Carry out up to `limit` removals of an owner; return how many there were."""
        query = select(RemovalRow).where(RemovalRow.owner_id == owner_id).limit(limit)
        async with self._database.reading() as session:
            noted = list(await session.scalars(query))
        done = await self._carry_out(noted)
        if done:
            await self._index.flush()
        return done

    async def _carry_out(self, noted: Sequence[RemovalRow]) -> int:
        for removal in noted:
            await self._index.remove_document(removal.owner_id, removal.document_id)
            if removal.object_key:
                await self._originals.delete(removal.owner_id, removal.document_id)
            async with self._database.writing() as session:
                await session.execute(delete(RemovalRow).where(RemovalRow.document_id == removal.document_id))
            _log.info("document removed", extra={"document_id": removal.document_id})
        for owner_id in {removal.owner_id for removal in noted}:
            async with self._database.writing() as session:
                forgotten = delete(TermRow).where(TermRow.owner_id == owner_id, TermRow.passages == 0)
                await session.execute(forgotten)
        return len(noted)
