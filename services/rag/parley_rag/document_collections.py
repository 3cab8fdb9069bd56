"""An owner's collections: named sets of documents."""

from collections.abc import Callable

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import Collection, Language
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from parley_rag.clock import now_ms
from parley_rag.database import Database
from parley_rag.removals import remove_row
from parley_rag.tables import CollectionRow, DocumentRow


async def ensure_collection(
    session: AsyncSession, owner_id: str, name: str, language: str, now: int
) -> CollectionRow:
    """Return the owner's collection of this name, made in `language` if it was missing."""
    row = await session.get(CollectionRow, (owner_id, name))
    if row is None:
        row = CollectionRow(owner_id=owner_id, name=name, created_at_ms=now, language=language)
        session.add(row)
        await session.flush()
    return row


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
        return next(found for found in await self.all(owner_id) if found.name == name)

    async def _ensure(self, owner_id: str, name: str, language: str) -> str:
        async with self._database.writing() as session:
            row = await ensure_collection(session, owner_id, name, language, self._clock_ms())
            return row.language

    async def all(self, owner_id: str) -> list[Collection]:
        """Return the owner's collections, by name."""
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
            .where(CollectionRow.owner_id == owner_id)
            .order_by(CollectionRow.name)
        )
        async with self._database.reading() as session:
            rows = (await session.execute(query)).all()
        return [
            Collection(
                name=row.name,
                language=Language(row.language),
                created_at_ms=row.created_at_ms,
                documents=documents or 0,
                chunks=chunks or 0,
            )
            for row, documents, chunks in rows
        ]

    async def remove(self, owner_id: str, name: str) -> None:
        """Remove a collection with its documents; `not_found` when it is not the owner's."""
        async with self._database.writing() as session:
            row = await session.get(CollectionRow, (owner_id, name))
            if row is None:
                raise ParleyError(ErrorCode.NOT_FOUND, "There is no such collection.", field="name")
            documents = await session.scalars(
                select(DocumentRow).where(DocumentRow.owner_id == owner_id, DocumentRow.collection == name)
            )
            for document in list(documents):
                await remove_row(session, document)
            await session.flush()
            await session.delete(row)
