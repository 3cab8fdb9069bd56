"""Where the services of a stack keep their tables: SQLite files, or databases of a PostgreSQL server."""

import os
import sqlite3
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.postgres import empty_database
from tests.tested_databases import STACKS_SERVER

KEEPING = ("accounts", "memory", "rag")
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


@dataclass(frozen=True)
class KeptTables:
    """The databases of a stack, by service; without an address a service has a file in the data folder."""

    data_dir: Path
    urls: Mapping[str, str] = field(default_factory=dict[str, str])

    def settings_of(self, service: str) -> dict[str, str]:
        """Return what a service has to be told."""
        return {"DATABASE_URL": self.urls[service]} if service in self.urls else {}

    def rows(self, service: str, query: str) -> list[tuple[Any, ...]]:
        """Return what a query without parameters finds."""
        if url := self.urls.get(service):
            with psycopg.connect(url) as database:
                return database.execute(query.encode()).fetchall()
        address = f"file:{self.data_dir / service}.sqlite?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as database:
            return database.execute(query).fetchall()

    def written(self, service: str) -> bytes:
        """Return all that a service has written: the bytes of its files, or of its rows."""
        if url := self.urls.get(service):
            return b"".join(_copied(url))
        return b"".join(path.read_bytes() for path in self.data_dir.glob(f"{service}.sqlite*"))


def _copied(url: str) -> Iterable[bytes]:
    with psycopg.connect(url) as database, database.cursor() as cursor:
        for (table,) in cursor.execute(_TABLES).fetchall():
            with cursor.copy(f'COPY "{table}" TO STDOUT (FORMAT binary)'.encode()) as rows:
                yield from map(bytes, rows)


@contextmanager
def open_tables(data_dir: Path) -> Generator[KeptTables]:
    """Keep empty databases while the body runs, where the run's setting says."""
    server = os.environ.get(STACKS_SERVER)
    with ExitStack() as databases:
        made = {name: databases.enter_context(empty_database(server)) for name in KEEPING} if server else {}
        yield KeptTables(data_dir, made)
