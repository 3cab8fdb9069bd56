"""Questions in SQL about one table file: read into SQLite in memory, and nothing but reading is allowed.

It runs in the reading process, whose memory and time are limited; SQLite's own limits make for words that
say what was too much.
"""

import csv
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from io import BytesIO, StringIO

from python_calamine import CalamineError, CalamineWorkbook, PasswordError

from parley_rag.load.extraction import UnreadableDocument
from parley_rag.load.limits import ReadLimits
from parley_rag.load.separated import delimiter_of
from parley_rag.load.sniff import DocumentKind, decode, sniff
from parley_rag.load.xml_parts import plain_package

MAX_TABLES = 50
MAX_COLUMNS = 500
MAX_ROWS = 500_000
MAX_CELLS = 5_000_000
MAX_SHOWN_ROWS = 200
MAX_CELL_CHARS = 500
MAX_ANSWER_CHARS = 40_000
QUERY_S = 10.0
_SAMPLE_ROWS = 3
_STEPS = 10_000
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?")
_ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_REFUSED_FUNCTIONS = {
    "load_extension",
    "readfile",
    "writefile",
    "edit",
    "fts3_tokenizer",
    "zeroblob",
    "randomblob",
}
_TABULAR = {DocumentKind.CSV, DocumentKind.TSV}
_SHEETS = {DocumentKind.XLSX, DocumentKind.ODS, DocumentKind.XLS}

Cell = int | float | str | None
Table = tuple[str, list[str], list[list[Cell]]]


class UnreadableQuery(Exception):
    """The question cannot be answered; the text says why."""


def query_table(data: bytes, name: str, sql: str, limits: ReadLimits) -> str:
    """Return what a question comes to, as CSV; without one, what tables there are.

    Raises:
        UnreadableDocument: The file holds no table that can be read.
        UnreadableQuery: The question is none that is answered.
    """
    database = sqlite3.connect(":memory:", isolation_level=None)
    try:
        database.execute("PRAGMA temp_store = MEMORY")
        tables = [_fill(database, table) for table in _named(_tables(data, name, limits))]
        if not tables:
            raise UnreadableDocument("The file holds no table.")
        return _answer(database, sql) if sql.strip() else _overview(database, tables)
    finally:
        database.close()


def answer_query(data: bytes, name: str, sql: str, limits: ReadLimits) -> dict[str, object]:
    """Return what the reading process says: the answer, or why there is none."""
    try:
        return {"answer": query_table(data, name, sql, limits)}
    except UnreadableQuery as error:
        return {"refused": str(error)}


# -- reading ------------------------------------------------------------------------------------------


def _tables(data: bytes, name: str, limits: ReadLimits) -> Iterator[tuple[str, list[list[Cell]]]]:
    kind = sniff(data, name, limits)
    if kind in _TABULAR:
        text = decode(data).lstrip("\ufeff").replace("\x00", "")
        yield "data", _bounded(csv.reader(StringIO(text, newline=""), delimiter=delimiter_of(text)))
    elif kind in _SHEETS:
        yield from _sheets(data if kind is DocumentKind.XLS else plain_package(data, limits))
    else:
        raise UnreadableDocument("The file is no table: CSV, TSV, XLSX, ODS and XLS are.")


def _sheets(data: bytes) -> Iterator[tuple[str, list[list[Cell]]]]:
    try:
        with CalamineWorkbook.from_filelike(BytesIO(data)) as workbook:
            for name in workbook.sheet_names[:MAX_TABLES]:
                sheet = workbook.get_sheet_by_name(name)
                if sheet.height * sheet.width > MAX_CELLS:
                    raise UnreadableDocument(f"The sheet {name} has more than {MAX_CELLS:,} cells.")
                yield name, _bounded([_cell(one) for one in row] for row in sheet.iter_rows())
    except PasswordError as error:
        raise UnreadableDocument("The spreadsheet is encrypted.") from error
    except (CalamineError, OSError, ValueError) as error:
        raise UnreadableDocument("The spreadsheet is damaged and cannot be opened.") from error


def _cell(value: object) -> Cell:
    match value:
        case bool():
            return int(value)
        case int() | float():
            return value
        case datetime():
            return value.isoformat(" ", "seconds")
        case date() | clock_time() | timedelta():
            return str(value)
        case _:
            return str(value)


def _bounded(rows: Iterable[Sequence[Cell]]) -> list[list[Cell]]:
    """Return rows, without those at the top and the bottom that are empty; too many are refused."""
    found, cells = list[list[Cell]](), 0
    try:
        for row in rows:
            if not found and not any(str(cell).strip() for cell in row):
                continue
            cells += len(row)
            if len(found) > MAX_ROWS or cells > MAX_CELLS:
                raise UnreadableDocument(f"The table has more than {MAX_ROWS:,} rows or {MAX_CELLS:,} cells.")
            found.append(list(row))
    except csv.Error as error:
        raise UnreadableDocument(
            "The table is damaged: a quote is never closed, or a field is too long."
        ) from error
    return found


def _named(tables: Iterable[tuple[str, list[list[Cell]]]]) -> Iterator[Table]:
    """Yield tables with names that SQL can say: small letters, digits and _, each once."""
    used: set[str] = set()
    for name, rows in tables:
        if len(rows) > 1:
            columns = _columns(rows)
            yield _unique(name, "data", used), columns, [_typed(row, len(columns)) for row in rows[1:]]


def _columns(rows: list[list[Cell]]) -> list[str]:
    width = max(len(row) for row in rows)
    if width > MAX_COLUMNS:
        raise UnreadableDocument(f"The table has more than {MAX_COLUMNS} columns.")
    head = [*rows[0], *[""] * (width - len(rows[0]))]
    used: set[str] = set()
    return [_unique(str(cell), f"column_{number}", used) for number, cell in enumerate(head, start=1)]


def _unique(name: str, otherwise: str, used: set[str]) -> str:
    plain = re.sub(r"\W+", "_", name.strip().lower()).strip("_")[:60] or otherwise
    plain = f"_{plain}" if plain[0].isdigit() or plain.startswith("sqlite_") else plain
    found, number = plain, 2
    while found in used:
        found, number = f"{plain}_{number}", number + 1
    used.add(found)
    return found


def _typed(row: list[Cell], width: int) -> list[Cell]:
    """Return a row as long as the others; what is written as a number is one, what is empty is NULL."""
    cells = [_number(cell) if isinstance(cell, str) else cell for cell in row]
    return [*cells, *[None] * (width - len(cells))]


def _number(text: str) -> Cell:
    plain = text.strip()
    if not plain:
        return None
    if not _NUMBER.fullmatch(plain):
        return text
    return float(plain) if "." in plain else int(plain)


def _fill(database: sqlite3.Connection, table: Table) -> tuple[str, list[str], int]:
    name, columns, rows = table
    listed = ", ".join(f'"{column}"' for column in columns)
    database.execute(f'CREATE TABLE "{name}" ({listed})')
    marks = ", ".join("?" * len(columns))
    database.execute("BEGIN")
    database.executemany(f'INSERT INTO "{name}" VALUES ({marks})', rows)
    database.execute("COMMIT")
    return name, columns, len(rows)


# -- asking -------------------------------------------------------------------------------------------


def _confine(database: sqlite3.Connection) -> None:
    """Let the connection do nothing but read, and that for a while."""
    until_s = time.monotonic() + QUERY_S

    def authorise(action: int, first: str | None, second: str | None, *_: object) -> int:
        is_allowed = action in _ALLOWED
        if action == sqlite3.SQLITE_FUNCTION:
            is_allowed = (second or "").lower() not in _REFUSED_FUNCTIONS
        return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY

    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000_000)
    database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    database.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200)
    database.set_authorizer(authorise)
    database.set_progress_handler(lambda: int(time.monotonic() > until_s), _STEPS)


def _answer(database: sqlite3.Connection, sql: str) -> str:
    _confine(database)
    try:
        cursor = database.execute(sql)
        names = [one[0] for one in cursor.description or ()]
        rows = cursor.fetchmany(MAX_SHOWN_ROWS + 1)
    except sqlite3.OperationalError as error:
        told = str(error)
        if "interrupted" in told:
            raise UnreadableQuery(f"The query took longer than {QUERY_S:g} seconds.") from None
        raise UnreadableQuery(f"SQLite says: {told}.") from None
    except (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError) as error:
        told = "only SELECT is allowed" if "not authorized" in str(error) else str(error)
        raise UnreadableQuery(f"SQLite says: {told}.") from None
    if not names:
        raise UnreadableQuery("Only SELECT is allowed.")
    rest = f"(only the first {MAX_SHOWN_ROWS} rows are shown)\n" if len(rows) > MAX_SHOWN_ROWS else ""
    return _cut(rest + _csv([names, *rows[:MAX_SHOWN_ROWS]]))


def _overview(database: sqlite3.Connection, tables: Sequence[tuple[str, list[str], int]]) -> str:
    told: list[str] = []
    for name, columns, count in tables:
        sample = database.execute(f'SELECT * FROM "{name}" LIMIT {_SAMPLE_ROWS}').fetchall()
        told.append(f'Table "{name}", {count:,} rows. It begins:\n{_csv([columns, *sample])}')
    return _cut("\n".join(told))


def _csv(rows: Iterable[Sequence[object]]) -> str:
    written = StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerows([_shown(cell) for cell in row] for row in rows)
    return written.getvalue()


def _shown(cell: object) -> str:
    if cell is None:
        return ""
    text = f"({len(cell)} bytes)" if isinstance(cell, bytes) else str(cell)
    return text if len(text) <= MAX_CELL_CHARS else f"{text[:MAX_CELL_CHARS]}…"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_ANSWER_CHARS else f"{text[:MAX_ANSWER_CHARS]}\n(cut)"
