"""All that memory keeps of a user: read page by page for an export, and removed part by part for good."""

import json
import time
from collections.abc import Iterable
from functools import partial

from parley_contracts.data_places import Ending, PlaceKind, places_of
from parley_contracts.data_rights import (
    VISITOR,
    ErasedPart,
    EraseUser,
    ExportedOriginal,
    ExportedRecord,
    ExportPage,
    ExportUser,
    PlaceCount,
    visitors_of,
)
from parley_contracts.rag import sealed_key
from parley_storage import Database, OwnedRows, erase_rows, read_page
from sqlalchemy import ColumnElement, Connection, or_, select

from parley_memory.removals import Removals, remove_attachments
from parley_memory.tables import attachments, conversations, erased_owners, messages, metadata
from parley_memory.tables import removals as removal_rows

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

    def __init__(self, database: Database, removals: Removals, *, page_bytes: int) -> None:
        self._database = database
        self._removals = removals
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
        files = (json.loads(line) for kind, line in page.lines if kind == attachments.name)
        return ExportPage(records=records, originals=tuple(_originals(files)), next_cursor=page.next_cursor)

    async def erase(self, request: EraseUser) -> ErasedPart:
        """Remove the next rows of a user, and refuse from the first part on what is stored for him."""

        if (part := await self._erase_files(request)) is not None:
            return part

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

    async def _erase_files(self, request: EraseUser) -> ErasedPart | None:
        """Remove some attachments with their content, which is gone then; None when none is left."""

        def remove(connection: Connection) -> int:
            self._mark(connection, request)
            query = select(attachments.c.id).where(_are_theirs(attachments.c.owner_id, request))
            ids = connection.execute(query.limit(request.limit)).scalars().all()
            return remove_attachments(connection, ids)

        removed = await self._database.write(remove)
        carried_out = await self._removals.finish(_are_theirs(removal_rows.c.owner_id, request))
        if not removed and not carried_out:
            return None
        counted = (PlaceCount(place=attachments.name, count=removed),) if removed else ()
        return ErasedPart(removed=counted, is_done=False)

    def _mark(self, connection: Connection, request: EraseUser) -> None:
        at_ms = time.time_ns() // 1_000_000
        marks = {request.owner_id, *(visitors_of(bot_id) for bot_id in request.bot_ids)}
        rows = [{"owner_id": mark, "at_ms": at_ms} for mark in sorted(marks)]
        connection.execute(self._database.insert(erased_owners).on_conflict_do_nothing(), rows)


def _originals(rows: Iterable[dict[str, str]]) -> Iterable[ExportedOriginal]:
    for row in rows:
        if row["is_ready"]:
            yield ExportedOriginal(
                document_id=row["object_id"],
                key=sealed_key(row["owner_id"], row["object_id"]),
                name=row["name"],
                size_bytes=int(row["size_bytes"]),
                sha256=row["sha256"],
                is_sealed=True,
            )


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
