"""All that rag keeps of a user, page by page: collections, documents and their uploads, verdicts."""

import json
from collections.abc import Sequence
from typing import Any

from parley_contracts.data_places import PlaceKind, places_of
from parley_contracts.data_rights import ExportedOriginal, ExportedRecord, ExportPage, ExportUser
from parley_contracts.errors import ErrorCode, ParleyError
from sqlalchemy import Table, select, tuple_

from parley_rag.database import Database
from parley_rag.tables import OriginalForm, Row


class Export:
    """Reads the tables that are exported, each in the order of its key."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tables = [
            Row.metadata.tables[place.name]
            for place in places_of("rag")
            if place.is_exported and place.kind is PlaceKind.TABLE
        ]

    async def export(self, request: ExportUser) -> ExportPage:
        """Return a page of one table: its rows are small."""
        number, key = self._place(request.cursor)
        table = self._tables[number]
        columns = tuple(table.primary_key)
        query = select(table).where(table.c.owner_id == request.owner_id).order_by(*columns)
        if key:
            query = query.where(tuple_(*columns) > tuple_(*key))
        async with self._database.reading() as session:
            found = (await session.execute(query.limit(request.limit + 1))).mappings().all()
        rows: list[dict[str, Any]] = [dict(row) for row in found[: request.limit]]
        following: Sequence[Any] | None = None
        if len(found) > request.limit:
            following = [table.name, *(rows[-1][column.name] for column in columns)]
        elif number + 1 < len(self._tables):
            following = [self._tables[number + 1].name]
        return ExportPage(
            records=tuple(ExportedRecord(kind=table.name, line=json.dumps(row)) for row in rows),
            originals=_originals(table, rows),
            next_cursor=None if following is None else json.dumps(following),
        )

    def _place(self, cursor: str | None) -> tuple[int, tuple[Any, ...]]:
        if cursor is None:
            return 0, ()
        try:
            name, *key = json.loads(cursor)
            return [table.name for table in self._tables].index(name), tuple(key)
        except (ValueError, TypeError):
            message = "This cursor was not given out here."
            raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="cursor") from None


def _originals(table: Table, rows: Sequence[dict[str, Any]]) -> tuple[ExportedOriginal, ...]:
    if table.name != "rag_documents":
        return ()
    return tuple(
        ExportedOriginal(
            document_id=row["id"],
            key=row["object_key"],
            name=row["name"],
            size_bytes=row["size_bytes"],
            sha256=row["sha256"],
            is_sealed=row["original_form"] != OriginalForm.PLAIN,
        )
        for row in rows
        if row["object_key"]
    )
