"""Brings the tables to this version at start; instances that start at once take turns."""

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Text, column, func, inspect, select, table

from parley_memory.database import Database
from parley_memory.engine import is_sqlite

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "alembic_version_memory"
HEAD = "0002"

_SCRIPTS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 0x7061726C_6D656D6F  # "parlmemo"
_RETRY_S = 0.02


async def migrate(database: Database, *, start_wait_s: float = 60.0) -> None:
    """Bring the tables to HEAD, whole or not at all; TimeoutError when another start keeps the lock."""
    async with asyncio.timeout(start_wait_s), _start_lock(database):
        await database.write(_upgrade, within_s=start_wait_s)


def alembic_config(connection: Connection) -> "Config":
    """Return Alembic's configuration for commands on an open connection."""
    from alembic.config import Config  # noqa: PLC0415 - 0.3 s and 12 MB that an up-to-date start saves

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    if not is_sqlite(connection):
        connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    if _revision(connection) == HEAD:
        return
    from alembic import command  # noqa: PLC0415 - 0.3 s and 12 MB that an up-to-date start saves

    command.upgrade(alembic_config(connection), HEAD)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.scalar(select(column("version_num", Text)).select_from(table(VERSION_TABLE)))


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
