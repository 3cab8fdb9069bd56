"""Sheets with names that SQLite keeps for itself."""

import sqlite3

import pytest
from parley_rag.load.limits import ReadLimits
from parley_rag.load.table_query import query_table

from tests.unit.rag.office_files import xlsx_file


def test_a_sheet_may_have_a_name_that_sqlite_keeps_for_itself() -> None:
    data = xlsx_file({"sqlite_master": [["a"], [1]]})
    try:
        assert "sqlite_master" in query_table(data, "t.xlsx", "", ReadLimits(timeout_s=30))
    except sqlite3.Error as error:
        pytest.fail(f"the reading process crashes: {error!r}")
