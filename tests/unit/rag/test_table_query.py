"""Questions in SQL about an uploaded table: what they come to, and all that they may not do."""

import os
from pathlib import Path

import pytest
from parley_rag.load import table_query
from parley_rag.load.extraction import UnreadableDocument
from parley_rag.load.limits import ReadLimits
from parley_rag.load.table_query import MAX_SHOWN_ROWS, UnreadableQuery, query_table
from parley_rag.table_reading import RefusedQuery
from parley_rag.table_reading import query_table as query_in_process

from tests.unit.rag.office_files import xlsx_file

LIMITS = ReadLimits(timeout_s=30)
PRICES = b"Item;Price;Sold on;Item\ntea;2.50;2026-01-02;a\ncoffee;4;2026-02-03;b\nwater;;;c\n"


def asked(sql: str, data: bytes = PRICES, name: str = "prices.csv") -> list[str]:
    return query_table(data, name, sql, LIMITS).splitlines()


def test_without_sql_tables_and_columns_are_told() -> None:
    assert asked("") == [
        'Table "data", 3 rows. It begins:',
        "item,price,sold_on,item_2",
        "tea,2.5,2026-01-02,a",
        "coffee,4,2026-02-03,b",
        "water,,,c",
    ]


def test_numbers_are_numbers_and_empty_cells_are_null() -> None:
    counted = asked("SELECT sum(price) AS s, count(price) AS c, count(*) AS n FROM data")
    assert counted == ["s,c,n", "6.5,2,3"]
    assert asked("SELECT item FROM data WHERE sold_on >= '2026-02'") == ["item", "coffee"]


def test_numbers_that_are_names_stay_texts() -> None:
    data = b"code,phone\n007,+49 30\n1e5,-\n"
    kept = asked("SELECT code, typeof(code) AS kind, phone FROM data", data)
    assert kept == ["code,kind,phone", "007,text,+49 30", "1e5,text,-"]


def test_each_sheet_of_a_workbook_is_a_table() -> None:
    sheets = {"Q1 2026": [["Name", "Sum"], ["a", 1.5], ["b", 1]], "Q1-2026": [["x"], ["y"]], "empty": []}
    data = xlsx_file(sheets)
    assert asked("SELECT sum(sum) AS s FROM q1_2026", data, "book.xlsx") == ["s", "2.5"]
    assert asked("SELECT * FROM q1_2026_2", data, "book.xlsx") == ["x", "y"]


def test_so_many_rows_are_shown_and_no_more() -> None:
    data = ("n\n" + "\n".join(map(str, range(1000)))).encode()
    shown = asked("SELECT n FROM data", data)
    assert shown[0] == f"(only the first {MAX_SHOWN_ROWS} rows are shown)"
    assert len(shown) == MAX_SHOWN_ROWS + 2


FORBIDDEN = [
    "DROP TABLE data",
    "DELETE FROM data",
    "UPDATE data SET price = 0",
    "INSERT INTO data VALUES (1, 2, 3, 4)",
    "CREATE TABLE t (a)",
    "CREATE TABLE t AS SELECT * FROM data",
    "ATTACH '/tmp/x.db' AS x",
    "VACUUM INTO '/tmp/x.db'",
    "PRAGMA database_list",
    "PRAGMA writable_schema = 1",
    "SELECT load_extension('/tmp/x.so')",
    "SELECT writefile('/tmp/x', 'x')",
    "SELECT readfile('/etc/passwd')",
    "SELECT zeroblob(1000000000)",
    "BEGIN",
    "SELECT 1; DROP TABLE data",
    "SELECT * FROM pragma_database_list",
    "WITH t AS (SELECT 1) DELETE FROM data",
    "-- nothing",
    "SELECT \x00",
]


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_nothing_but_reading_is_allowed(sql: str) -> None:
    with pytest.raises(UnreadableQuery):
        asked(sql)


def test_a_query_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_query, "QUERY_S", 0.05)
    endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t"
    with pytest.raises(UnreadableQuery, match=r"longer than 0\.05 seconds"):
        asked(endless)


def test_a_value_without_end_is_refused() -> None:
    with pytest.raises(UnreadableQuery, match="too big"):
        asked("SELECT replace(hex(printf('%.9999999c', 'x')), '7', 'yyyyyyyyyy')")


def test_too_many_rows_or_columns_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_query, "MAX_ROWS", 2)
    monkeypatch.setattr(table_query, "MAX_COLUMNS", 2)
    with pytest.raises(UnreadableDocument, match="more than 2 rows"):
        asked("SELECT 1")
    with pytest.raises(UnreadableDocument, match="more than 2 columns"):
        asked("SELECT 1", b"a,b,c\n1,2,3\n")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"hello", "a.txt"),
        (b"%PDF-1.4", "a.pdf"),
        (b"a,b\n", "a.csv"),
        (b"PK\x03\x04broken", "a.xlsx"),
        (b"", "a.csv"),
    ],
    ids=["a text", "a PDF", "a head alone", "a broken workbook", "nothing"],
)
def test_what_is_no_table_is_refused_in_words(data: bytes, name: str) -> None:
    with pytest.raises(UnreadableDocument):
        query_table(data, name, "SELECT 1", LIMITS)


async def test_it_is_asked_in_a_process_of_its_own(tmp_path: Path) -> None:
    answer = await query_in_process(PRICES, "prices.csv", "SELECT max(price) FROM data", LIMITS)
    assert answer.split() == ["max(price)", "4"]
    with pytest.raises(RefusedQuery, match="only SELECT is allowed"):
        await query_in_process(PRICES, "prices.csv", f"ATTACH '{tmp_path}/x.db' AS x", LIMITS)
    assert os.listdir(tmp_path) == []
