"""Pages of rows that have a time and an id, the newest first."""

from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError
from sqlalchemy import Connection, Select, Table, tuple_
from sqlalchemy.engine import Row


def read_page(
    connection: Connection, query: Select[Any], of: Table, *, limit: int, cursor: str | None
) -> tuple[list[Row[Any]], str | None]:
    """Return rows of a table, and the cursor of the next page; `invalid_request` for what is no cursor."""
    if cursor is not None:
        query = query.where(tuple_(of.c.created_at_ms, of.c.id) < _place(cursor))
    ordered = query.order_by(of.c.created_at_ms.desc(), of.c.id.desc())
    rows = list(connection.execute(ordered.limit(limit + 1)).all())
    page = rows[:limit]
    last = page[-1] if len(rows) > len(page) else None
    return page, None if last is None else f"{last.created_at_ms}.{last.id}"


def _place(cursor: str) -> tuple[int, str]:
    at_ms, _, row_id = cursor.partition(".")
    if not (at_ms.isascii() and at_ms.isdecimal() and len(at_ms) < 16 and row_id):
        raise ParleyError(ErrorCode.INVALID_REQUEST, "cursor: not one of this list.", field="cursor")
    return int(at_ms), row_id
