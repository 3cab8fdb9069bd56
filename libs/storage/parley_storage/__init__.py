"""How rows are kept: SQLite or PostgreSQL, transactions in threads, migrations at start."""

from parley_storage.database import Database, Insert, open_database
from parley_storage.migration import migrate
from parley_storage.owned_rows import OwnedRows, RowPage, erase_rows, read_page
from parley_storage.store import Store
from parley_storage.text import StorableText

__all__ = [
    "Database",
    "Insert",
    "OwnedRows",
    "RowPage",
    "StorableText",
    "Store",
    "erase_rows",
    "migrate",
    "open_database",
    "read_page",
]
