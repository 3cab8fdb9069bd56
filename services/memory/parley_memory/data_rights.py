"""All that memory keeps of a user: read page by page for an export, and removed part by part for good."""

import time
from functools import partial

from parley_contracts.data_places import Ending, PlaceKind, places_of
from parley_contracts.data_rights import (
    VISITOR,
    ErasedPart,
    EraseUser,
    ExportedRecord,
    ExportPage,
    ExportUser,
    PlaceCount,
    visitors_of,
)
from parley_storage import Database, OwnedRows, erase_rows, read_page
from sqlalchemy import ColumnElement, Connection, or_, select

from parley_memory.tables import conversations, erased_owners, messages, metadata

_TABLES = places_of("memory", PlaceKind.TABLE)


def owner_marks(owner_id: str) -> tuple[str, ...]:
    """Return the marks by which an owner would be refused: his own, and of a visitor that of his bot."""
    if not owner_id.startswith(VISITOR):
        return (owner_id,)
    return owner_id, owner_id[: owner_id.rindex("-") + 1]


def is_erased(connection: Connection, owner_id: str) -> bool:
    """Return whether an owner's data were erased."""
    query = select(erased_owners.c.owner_id).where(erased_owners.c.owner_id.in_(owner_marks(owner_id)))
    return connection.execute(query).first() is not None


class DataRights:
    """Exports and erases; `page_bytes` bounds a page of an export."""

    def __init__(self, database: Database, *, page_bytes: int) -> None:
        self._database = database
        self._page_bytes = page_bytes

    async def export(self, request: ExportUser) -> ExportPage:
        """Return the next records of a user."""
        owned = [
            OwnedRows(
                metadata.tables[place.name],
                metadata.tables[place.name].c[place.user_column] == request.owner_id,
                place.hidden,
            )
            for place in _TABLES
            if place.is_exported
        ]
        page = await self._database.read(
            partial(
                read_page,
                owned=owned,
                cursor=request.cursor,
                limit=request.limit,
                max_bytes=self._page_bytes,
            )
        )
        records = tuple(ExportedRecord(kind=kind, line=line) for kind, line in page.lines)
        return ExportPage(records=records, next_cursor=page.next_cursor)

    async def erase(self, request: EraseUser) -> ErasedPart:
        """Remove the next rows of a user, and refuse from the first part on what is stored for him."""

        def erase(connection: Connection) -> ErasedPart:
            self._mark(connection, request)
            removed = erase_rows(connection, _rows_of(request), request.limit)
            return ErasedPart(
                removed=tuple(PlaceCount(place=name, count=count) for name, count in removed.items()),
                is_done=sum(removed.values()) < request.limit,
            )

        part = await self._database.write(erase)
        if part.is_done and not await self._database.truncate_log():
            return part.model_copy(update={"is_done": False, "waits_for": "a reader of the database"})
        return part

    def _mark(self, connection: Connection, request: EraseUser) -> None:
        at_ms = time.time_ns() // 1_000_000
        marks = {request.owner_id, *(visitors_of(bot_id) for bot_id in request.bot_ids)}
        rows = [{"owner_id": mark, "at_ms": at_ms} for mark in sorted(marks)]
        connection.execute(self._database.insert(erased_owners).on_conflict_do_nothing(), rows)


def _rows_of(request: EraseUser) -> list[OwnedRows]:
    """Return what is erased by what is listed of the tables, what depends on others first."""
    theirs = _are_theirs(conversations.c.owner_id, request)
    # Messages are found by their conversations: no index has their owners.
    inside = {messages.name: messages.c.conversation_id.in_(select(conversations.c.id).where(theirs))}
    columns = {one.name: one.user_column for one in _TABLES if one.ending is Ending.ERASED}
    return [
        OwnedRows(table, inside.get(table.name, _are_theirs(table.c[columns[table.name]], request)))
        for table in reversed(metadata.sorted_tables)
        if table.name in columns
    ]


def _are_theirs(column: "ColumnElement[str]", request: EraseUser) -> ColumnElement[bool]:
    visitors = (column.startswith(visitors_of(bot_id), autoescape=True) for bot_id in request.bot_ids)
    return or_(column == request.owner_id, *visitors)
