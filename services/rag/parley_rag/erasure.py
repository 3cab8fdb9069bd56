"""Removes all that rag keeps of a user, part by part, and refuses what comes later.

A part is a transaction that others can wait for. Vectors and uploads go by the removals that its rows leave.
"""

from collections.abc import Callable, Collection
from typing import cast

from parley_contracts.data_rights import ErasedPart, EraseUser, PlaceCount
from parley_contracts.errors import ErrorCode, ParleyError
from sqlalchemy import Table, delete, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from parley_rag.clock import now_ms
from parley_rag.database import Database
from parley_rag.removals import MOST_AT_ONCE, Removals, remove_some
from parley_rag.tables import (
    ArchiveMemberRow,
    CollectionRow,
    DocumentRow,
    ErasedOwnerRow,
    FeedbackRow,
    RemovalRow,
    Row,
    SearchDayRow,
    TermRow,
)

_LEFT_BEHIND: tuple[type[Row], ...] = (FeedbackRow, SearchDayRow, ArchiveMemberRow, TermRow, CollectionRow)
"""What names the owner and goes with no document, what depends on others first."""

_MARK = text(
    "INSERT INTO rag_erased_owners (owner_id, at_ms) VALUES (:owner_id, :at_ms) ON CONFLICT DO NOTHING"
)


async def refuse_erased(session: AsyncSession, owner_id: str) -> None:
    """Raise ParleyError `not_found` for an owner whose data were erased."""
    if await session.get(ErasedOwnerRow, owner_id) is not None:
        raise ParleyError(ErrorCode.NOT_FOUND, "There is no such user any more.")


async def erased_of(session: AsyncSession, owner_ids: Collection[str]) -> frozenset[str]:
    """Return which of some owners' data were erased."""
    query = select(ErasedOwnerRow.owner_id).where(ErasedOwnerRow.owner_id.in_(owner_ids))
    return frozenset(await session.scalars(query))


class Erasure:
    """Erases one user at a time; to ask again changes nothing but that more is gone."""

    def __init__(
        self, database: Database, removals: Removals, *, clock_ms: Callable[[], int] = now_ms
    ) -> None:
        self._database = database
        self._removals = removals
        self._clock_ms = clock_ms

    async def erase(self, request: EraseUser) -> ErasedPart:
        """Remove documents first, then what else is his, then what is left of the documents elsewhere."""
        owner_id = request.owner_id
        removed = await self._remove_documents(owner_id, min(request.limit, MOST_AT_ONCE))
        if removed is not None:
            return ErasedPart(removed=_counted({"rag_documents": removed}), is_done=False)
        if await self._removals.finish_some(owner_id, request.limit):
            return ErasedPart(is_done=False)
        counts = await self._remove_rows(owner_id, request.limit)
        if sum(counts.values()) >= request.limit:
            return ErasedPart(removed=_counted(counts), is_done=False)
        if await self._database.truncate_log():
            return ErasedPart(removed=_counted(counts), is_done=True)
        return ErasedPart(removed=_counted(counts), is_done=False, waits_for="a reader of the database")

    async def _remove_documents(self, owner_id: str, limit: int) -> int | None:
        """Remove the rows of some documents; None when there are none."""
        async with self._database.writing() as session:
            await session.execute(_MARK, {"owner_id": owner_id, "at_ms": self._clock_ms()})
            rows = list(
                await session.scalars(
                    select(DocumentRow).where(DocumentRow.owner_id == owner_id).limit(limit)
                )
            )
            if not rows:
                return None
            noted = select(func.count()).select_from(RemovalRow).where(RemovalRow.owner_id == owner_id)
            before = await session.scalar(noted) or 0
            await remove_some(session, rows)
            await session.flush()
            return (await session.scalar(noted) or 0) - before

    async def _remove_rows(self, owner_id: str, limit: int) -> dict[str, int]:
        counts: dict[str, int] = {}
        async with self._database.writing() as session:
            for row in _LEFT_BEHIND:
                left = limit - sum(counts.values())
                if left <= 0:
                    break
                table = cast("Table", row.__table__)
                key = tuple(table.primary_key)
                some = select(*key).where(table.c.owner_id == owner_id).limit(left)
                gone = await session.execute(delete(row).where(tuple_(*key).in_(some)).returning(*key))
                if count := len(gone.all()):
                    counts[table.name] = count
        return counts


def _counted(counts: dict[str, int]) -> tuple[PlaceCount, ...]:
    return tuple(PlaceCount(place=name, count=count) for name, count in counts.items())
