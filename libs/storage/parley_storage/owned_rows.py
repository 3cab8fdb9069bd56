"""Rows of one user, read page by page and removed part by part, in transactions that others can wait for."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError
from sqlalchemy import ColumnElement, Connection, Table, delete, select, tuple_


@dataclass(frozen=True, slots=True)
class OwnedRows:
    """Rows of a table that are a user's; no export shows the columns in `hidden`."""

    table: Table
    are_his: ColumnElement[bool]
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowPage:
    """Rows as pairs of table and JSON object in one line; `next_cursor` is None on the last page."""

    lines: tuple[tuple[str, str], ...]
    next_cursor: str | None


def read_page(
    connection: Connection, owned: Sequence[OwnedRows], cursor: str | None, *, limit: int, max_bytes: int
) -> RowPage:
    """Return rows table by table, each in the order of its key; at least one, if any is left.

    Raises:
        ParleyError: `invalid_request` for a cursor that was not given out here.
    """
    place = _Place.behind(cursor, owned)
    lines: list[tuple[str, str]] = []
    for number in range(place.number, len(owned)):
        rows = owned[number]
        for row in _rows_behind(connection, rows, place.key, limit - len(lines) + 1):
            line = _line(row, rows.hidden)
            max_bytes -= len(line.encode())
            if lines and (len(lines) >= limit or max_bytes < 0):
                return RowPage(tuple(lines), place.encoded(owned))
            lines.append((rows.table.name, line))
            place = _Place(number, tuple(row[column.name] for column in rows.table.primary_key.columns))
        place = _Place(number + 1, None)
    return RowPage(tuple(lines), None)


def erase_rows(connection: Connection, owned: Sequence[OwnedRows], limit: int) -> Mapping[str, int]:
    """Remove up to `limit` rows, table by table in this order; return how many of each.

    Nothing is left when they are fewer than `limit` together.
    """
    erased: dict[str, int] = {}
    for rows in owned:
        left = limit - sum(erased.values())
        if left <= 0:
            break
        key = tuple_(*rows.table.primary_key.columns)
        some = select(*rows.table.primary_key.columns).where(rows.are_his).limit(left)
        if count := connection.execute(delete(rows.table).where(key.in_(some))).rowcount:
            erased[rows.table.name] = count
    return erased


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins: behind a row of a table, or with the first row."""

    number: int
    key: tuple[Any, ...] | None

    @classmethod
    def behind(cls, cursor: str | None, owned: Sequence[OwnedRows]) -> "_Place":
        if cursor is None:
            return cls(0, None)
        try:
            name, *key = json.loads(cursor)
            number = [rows.table.name for rows in owned].index(name)
        except (ValueError, TypeError):
            message = "This cursor was not given out here."
            raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="cursor") from None
        return cls(number, tuple(key) or None)

    def encoded(self, owned: Sequence[OwnedRows]) -> str:
        return json.dumps([owned[self.number].table.name, *(self.key or ())])


def _rows_behind(
    connection: Connection, rows: OwnedRows, key: tuple[Any, ...] | None, limit: int
) -> list[Mapping[str, Any]]:
    columns = tuple(rows.table.primary_key.columns)
    query = select(rows.table).where(rows.are_his).order_by(*columns).limit(limit)
    if key is not None:
        query = query.where(tuple_(*columns) > tuple_(*key))
    return [dict(row) for row in connection.execute(query).mappings()]


def _line(row: Mapping[str, Any], hidden: tuple[str, ...]) -> str:
    return json.dumps({name: value for name, value in row.items() if name not in hidden}, ensure_ascii=False)
