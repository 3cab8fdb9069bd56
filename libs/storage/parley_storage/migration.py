"""Brings tables to the version that the code expects, at start; instances that start at once take turns."""

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Text, column, func, inspect, select, table

from parley_storage.database import Database
from parley_storage.engine import is_sqlite
from parley_storage.store import Store

if TYPE_CHECKING:
    from alembic.config import Config

_SCRIPTS = Path(__file__).parent / "scripts"
_RETRY_S = 0.02


async def migrate(database: Database, *, start_wait_s: float = 60.0) -> None:
    """Bring the tables to the head, whole or not at all; TimeoutError when another start keeps the lock."""
    async with asyncio.timeout(start_wait_s), _start_lock(database):
        await database.write(lambda connection: _upgrade(connection, database.store), within_s=start_wait_s)


def alembic_config(connection: Connection, store: Store) -> "Config":
    """Return Alembic's configuration for commands on an open connection."""
    from alembic.config import Config  # noqa: PLC0415 - 0.3 s and 12 MB that an up-to-date start saves

    config = Config()
    config.set_main_option("script_location", _escaped(_SCRIPTS))
    config.set_main_option("version_locations", _escaped(store.revisions))
    config.set_main_option("path_separator", "newline")
    config.attributes.update(connection=connection, store=store)
    return config


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")


def _upgrade(connection: Connection, store: Store) -> None:
    if not is_sqlite(connection):
        connection.execute(select(func.pg_advisory_xact_lock(store.advisory_lock)))
    if _revision(connection, store) == store.head:
        return
    from alembic import command  # noqa: PLC0415 - 0.3 s and 12 MB that an up-to-date start saves

    command.upgrade(alembic_config(connection, store), store.head)


def _revision(connection: Connection, store: Store) -> str | None:
    if not inspect(connection).has_table(store.version_table):
        return None
    return connection.scalar(select(column("version_num", Text)).select_from(table(store.version_table)))


@asynccontextmanager
async def _start_lock(database: Database) -> AsyncGenerator[None]:
    if not database.is_sqlite:
        yield
        return
    # Not only for the migration: the first connection puts the file into WAL mode, which needs the file
    # alone and does not wait for it.
    lock = os.open(f"{database.url.database}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        while not _took(lock):  # noqa: ASYNC110 - another process holds it: nothing here can be awaited
            await asyncio.sleep(_RETRY_S)
        yield
    finally:
        os.close(lock)


def _took(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
