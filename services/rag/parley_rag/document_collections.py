"""An owner's collections: named sets of documents."""

from collections.abc import Callable

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import (
    Collection,
    CollectionList,
    CollectionStatistics,
    DocumentStatus,
    Language,
    ListCollections,
)
from sqlalchemy import ColumnElement, case, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from parley_rag.clock import now_ms
from parley_rag.database import Database
from parley_rag.erasure import refuse_erased
from parley_rag.removals import MOST_AT_ONCE, remove_some
from parley_rag.tables import CollectionRow, DocumentRow, SearchDayRow

UNDETERMINED = "und"
"""The language of a document that declares none: ISO 639-2's code, a tag of BCP 47."""


async def ensure_collection(
    session: AsyncSession, owner_id: str, name: str, language: str, now: int
) -> CollectionRow:
    """Return the owner's collection of this name, made in `language` if it was missing.

    Raises:
        ParleyError: `not_found` for an owner whose data were erased.
    """
    await refuse_erased(session, owner_id)
    row = await session.get(CollectionRow, (owner_id, name))
    if row is None:
        row = CollectionRow(owner_id=owner_id, name=name, created_at_ms=now, language=language)
        session.add(row)
        await session.flush()
    return row


def no_such_collection() -> ParleyError:
    """Return the one answer for names that are missing and for names of somebody else's."""
    return ParleyError(ErrorCode.NOT_FOUND, "There is no such collection.", field="name")


class Collections:
    """The collections table."""

    def __init__(self, database: Database, *, language: str, clock_ms: Callable[[], int] = now_ms) -> None:
        self._database = database
        self._language = language
        self._clock_ms = clock_ms

    async def create(self, owner_id: str, name: str, language: str | None = None) -> Collection:
        """Return the owner's collection of this name, made if it was missing.

        Raises:
            ParleyError: `conflict` when it is there in another language than the one that is named.
        """
        try:
            made = await self._ensure(owner_id, name, language or self._language)
        except IntegrityError:  # another request made it between our look and our write
            made = await self._ensure(owner_id, name, language or self._language)
        if language is not None and made != language:
            raise ParleyError(ErrorCode.CONFLICT, f"That collection is in {made}.", field="language")
        async with self._database.reading() as session:
            return (await _counted(session, owner_id, CollectionRow.name == name))[0]

    async def _ensure(self, owner_id: str, name: str, language: str) -> str:
        async with self._database.writing() as session:
            row = await ensure_collection(session, owner_id, name, language, self._clock_ms())
            return row.language

    async def page(self, request: ListCollections) -> CollectionList:
        """Return the owner's collections, by name; the cursor is the name that the next page begins after."""
        after = CollectionRow.name > (request.cursor or "")
        async with self._database.reading() as session:
            found = await _counted(session, request.owner_id, after, request.limit + 1)
        shown = found[: request.limit]
        return CollectionList(
            collections=tuple(shown), next_cursor=shown[-1].name if len(found) > request.limit else None
        )

    async def statistics(self, owner_id: str, name: str) -> CollectionStatistics:
        """Return what a collection holds; `not_found` when it is not the owner's."""
        inside = (DocumentRow.owner_id == owner_id, DocumentRow.collection == name)
        by_status = select(DocumentRow.status, func.count()).where(*inside).group_by(DocumentRow.status)
        by_language = select(DocumentRow.language, func.count()).where(*inside).group_by(DocumentRow.language)
        is_kept = DocumentRow.status.not_in((DocumentStatus.FAILED, DocumentStatus.CANCELLED))
        sums = select(
            func.coalesce(func.sum(case((is_kept, DocumentRow.chunks), else_=0)), 0),
            func.coalesce(func.sum(case((is_kept, DocumentRow.chunks_done), else_=0)), 0),
            func.coalesce(func.sum(DocumentRow.size_bytes), 0),
        ).where(*inside)
        async with self._database.reading() as session:
            found = await _counted(session, owner_id, CollectionRow.name == name)
            if not found:
                raise no_such_collection()
            statuses = {row[0]: row[1] for row in (await session.execute(by_status)).all()}
            languages = {
                tag or UNDETERMINED: count for tag, count in (await session.execute(by_language)).all()
            }
            chunks, chunks_done, size_bytes = (await session.execute(sums)).one()
        return CollectionStatistics(
            collection=found[0],
            documents_by_status={status: statuses.get(status, 0) for status in DocumentStatus},
            documents_by_language=languages,
            chunks=chunks,
            chunks_done=chunks_done,
            size_bytes=size_bytes,
        )

    async def remove(self, owner_id: str, name: str) -> None:
        """Remove a collection with its documents; `not_found` when it is not the owner's."""
        inside = (DocumentRow.owner_id == owner_id, DocumentRow.collection == name)
        is_gone = False
        while not is_gone:
            async with self._database.writing() as session:
                row = await session.get(CollectionRow, (owner_id, name))
                if row is None:
                    raise no_such_collection()
                some = list(await session.scalars(select(DocumentRow).where(*inside).limit(MOST_AT_ONCE)))
                is_gone = await remove_some(session, some) and len(some) < MOST_AT_ONCE
                if is_gone:
                    await session.execute(
                        delete(SearchDayRow).where(
                            SearchDayRow.owner_id == owner_id, SearchDayRow.collection == name
                        )
                    )
                    await session.flush()
                    await session.delete(row)


async def _counted(
    session: AsyncSession, owner_id: str, condition: ColumnElement[bool], limit: int = 1
) -> list[Collection]:
    """Return collections with how much is in them, by name."""
    counts = (
        select(
            DocumentRow.collection.label("name"),
            func.count().label("documents"),
            func.sum(DocumentRow.chunks_done).label("chunks"),
        )
        .where(DocumentRow.owner_id == owner_id)
        .group_by(DocumentRow.collection)
        .subquery()
    )
    query = (
        select(CollectionRow, counts.c.documents, counts.c.chunks)
        .outerjoin(counts, counts.c.name == CollectionRow.name)
        .where(CollectionRow.owner_id == owner_id, condition)
        .order_by(CollectionRow.name)
        .limit(limit)
    )
    return [
        Collection(
            name=row.name,
            language=Language(row.language),
            created_at_ms=row.created_at_ms,
            documents=documents or 0,
            chunks=chunks or 0,
        )
        for row, documents, chunks in (await session.execute(query)).all()
    ]
