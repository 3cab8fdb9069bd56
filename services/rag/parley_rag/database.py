"""The service's database: SQLite in the data folder, or PostgreSQL by address; migrated when opened."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from sqlalchemy import URL, Connection, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from parley_rag.migrations import HEAD, VERSION_TABLE

_BUSY_TIMEOUT_MS = 5000
_TRUNCATE_BUSY_MS = 50
_TRUNCATE_TRIES = 5
_TRUNCATE_PAUSE_S = 0.2
_WRITE_LOCK = 7271731  # any number; the same in every process of this service
_POSTGRES_LIMITS = {
    "lock_timeout": str(_BUSY_TIMEOUT_MS),
    "idle_in_transaction_session_timeout": "30000",  # who was stopped in the middle holds nobody up for ever
}
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}


class Database:
    """Hands out sessions; a writing one takes the write lock at once.

    There is one writer at a time, so that what it reads stays true until it commits. Those of this process
    queue here: with SQLite they would overtake each other, and with PostgreSQL each would hold a connection.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(parley_writes=True)
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncSession, None]:
        """Yield a session for queries."""
        async with AsyncSession(self._engine, expire_on_commit=False) as session:
            yield session

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncSession, None]:
        """Yield a session in one transaction, committed at the end."""
        async with (
            self._turn,
            AsyncSession(self._writer, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    async def truncate_log(self) -> bool:
        """Have SQLite move its log into the file and empty it: what was deleted stands there until then.

        False when somebody still reads by it after several tries; between them others write. PostgreSQL
        sees to its own.
        """
        if self._engine.dialect.name != "sqlite":
            return True
        for _ in range(_TRUNCATE_TRIES):
            async with self._turn, self._engine.connect() as connection:
                if await _truncate(connection):
                    return True
            await asyncio.sleep(_TRUNCATE_PAUSE_S)
        return False

    async def check(self) -> None:
        """Raise when the database does not answer."""
        async with self._engine.connect() as connection:
            await connection.execute(text("SELECT 1"))


async def _truncate(connection: AsyncConnection) -> bool:
    """Return whether the log is empty now; whoever writes is held up for a moment only."""
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    if driver is None:
        return False
    # What can be moved without anybody's waiting goes first.
    for pragma in ("wal_checkpoint(PASSIVE)", f"busy_timeout={_TRUNCATE_BUSY_MS}"):
        await (await driver.execute(f"PRAGMA {pragma}")).close()
    try:
        cursor = await driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        row = await cursor.fetchone()
        await cursor.close()
        return row[0] == 0
    finally:
        await (await driver.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")).close()


@asynccontextmanager
async def open_database(url: str | None, data_dir: Path) -> AsyncGenerator[Database, None]:
    """Yield the migrated database at `url`, or `rag.sqlite` in the data folder."""
    address = _address(url, data_dir)
    if address.drivername.startswith("postgresql"):
        engine = create_async_engine(address, connect_args={"server_settings": _POSTGRES_LIMITS})
        event.listen(engine.sync_engine, "begin", _begin_postgres)
    else:
        engine = create_async_engine(address)
        _make_private_file(Path(address.database or ""))
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        event.listen(engine.sync_engine, "invalidate", _roll_back_sqlite)
    try:
        await _migrate(engine)
        yield Database(engine)
    finally:
        await engine.dispose()


def _address(url: str | None, data_dir: Path) -> URL:
    if url is None:
        return URL.create(_DRIVERS["sqlite"], database=str(data_dir / "rag.sqlite"))
    parsed = make_url(url)
    if ssl_mode := parsed.query.get("sslmode"):  # libpq's name; the driver's is another
        parsed = parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": ssl_mode})
    return parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))


def _make_private_file(path: Path) -> None:
    # SQLite gives its -wal and -shm files the rights of the database file.
    path.parent.mkdir(parents=True, exist_ok=True)
    # One that is there is left alone: closing it would end the locks of this process's other connections.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _set_up_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # pyright: ignore[reportAttributeAccessIssue]  transactions are begun by us
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # a document that was acknowledged survives a power cut
        "foreign_keys=ON",
        "secure_delete=ON",  # what was deleted does not linger in free pages
        f"busy_timeout={_BUSY_TIMEOUT_MS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("parley_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _roll_back_sqlite(connection: DBAPIConnection, *_: object) -> None:
    """Give back the lock of a writer who was cancelled: a closed connection with open cursors keeps it."""
    with suppress(DBAPIError, sqlite3.Error):
        connection.rollback()


def _begin_postgres(connection: Connection) -> None:
    if connection.get_execution_options().get("parley_writes", False):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK})")


async def _migrate(engine: AsyncEngine) -> None:
    if await _revision(engine) == HEAD:  # the usual start: the migration tool is not even loaded
        return
    async with engine.execution_options(parley_writes=True).begin() as connection:
        await _upgrade(connection)


async def _revision(engine: AsyncEngine) -> str | None:
    """Return the database's revision; None when it has none yet."""
    async with engine.connect() as connection:
        try:
            return (await connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))).scalar()
        except DBAPIError:
            return None


async def _upgrade(connection: AsyncConnection) -> None:
    from parley_rag.migrations.upgrade import upgrade  # noqa: PLC0415  loads Alembic

    await connection.run_sync(upgrade)
