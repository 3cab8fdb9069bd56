"""One engine over SQLite or PostgreSQL: transactions that read and transactions that write."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from parley_contracts.errors import ErrorCode, ParleyError
from sqlalchemy import URL, Connection, Table, event, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

log = logging.getLogger("parley.memory")

Result = TypeVar("Result")

_BEGIN = "sqlite_begin"
_BUSY_TIMEOUT_MS = 5_000
_CONNECT_TIMEOUT_S = 5
WRITE_S = 20.0
"""How long a transaction that writes may take: one that hangs would keep every other from writing."""


class Database:
    """Transactions on one engine, with the errors a caller may be told."""

    def __init__(self, engine: AsyncEngine, tasks: asyncio.TaskGroup, *, writers: int) -> None:
        self._reading = engine
        self._tasks = tasks
        # A transaction that begins by reading and writes later fails at once when another has written in
        # between (SQLITE_BUSY_SNAPSHOT, which no timeout helps), so writers take the lock at BEGIN.
        self._writing = engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        # SQLite has one writer: queueing here is fair and costs nothing, while its own waiting sleeps.
        self._writer_slots = asyncio.Semaphore(writers)

    @property
    def url(self) -> URL:
        return self._reading.url

    @property
    def is_sqlite(self) -> bool:
        return self._reading.dialect.name == "sqlite"

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """Return an insert that knows `on_conflict_do_nothing` in the engine's dialect."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """Yield a connection in a transaction that only reads.

        Raises:
            ParleyError: `overloaded` when no connection came free, `unavailable` when the database is away.
        """
        async with _errors_told(), self._reading.begin() as connection:
            yield connection

    async def write(
        self, work: Callable[[AsyncConnection], Awaitable[Result]], *, within_s: float = WRITE_S
    ) -> Result:
        """Return what `work` does in a transaction that commits at its end; raises as `read`.

        A caller who is cancelled before the transaction begins leaves nothing behind; later, it goes on to
        its end without him: broken off, it would keep the lock until its driver has noticed.
        """
        await self._writer_slots.acquire()
        outcome: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._tasks.create_task(self._write_to_end(work, outcome, within_s))
        try:
            return await asyncio.shield(outcome)
        except asyncio.CancelledError:
            outcome.add_done_callback(_look_away)
            raise

    async def _write_to_end(
        self,
        work: Callable[[AsyncConnection], Awaitable[Result]],
        outcome: asyncio.Future[Result],
        within_s: float,
    ) -> None:
        try:
            async with _errors_told(), asyncio.timeout(within_s), self._writing.begin() as connection:
                result = await work(connection)
            outcome.set_result(result)
        except Exception as error:  # noqa: BLE001 - it is the caller's, who waits for it
            outcome.set_exception(error)
        finally:
            # Neither of the two happened: this task was cancelled, with the service.
            outcome.cancel()
            self._writer_slots.release()

    async def check(self) -> None:
        """Raise when the database does not answer."""
        async with self.read() as connection:
            await connection.execute(select(1))


def _look_away(outcome: asyncio.Future[Any]) -> None:
    """Take note of what nobody waits for any more; whoever needed it asks again."""
    if not outcome.cancelled() and (error := outcome.exception()):
        log.info("a write whose caller has left failed", extra={"error": repr(error)})


@asynccontextmanager
async def _errors_told() -> AsyncGenerator[None]:
    try:
        yield
    except PoolTimeoutError as error:
        raise ParleyError(ErrorCode.OVERLOADED, "The conversation store is overloaded.") from error
    except (DBAPIError, OSError) as error:
        if isinstance(error, DBAPIError) and not _is_away(error):
            raise
        log.warning("database unavailable", exc_info=True)
        raise ParleyError(ErrorCode.UNAVAILABLE, "The conversation store is unavailable.") from error


def _is_away(error: DBAPIError) -> bool:
    return isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated


@asynccontextmanager
async def open_database(
    url: URL, *, pool_size: int = 4, pool_wait_s: float = 5.0
) -> AsyncGenerator[Database]:
    """Yield the database at `url` (from `resolve_database_url`); its tables may not be there yet."""
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite:
        _make_private_file(Path(url.database or ""))
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_wait_s,
        pool_pre_ping=not is_sqlite,
        connect_args={} if is_sqlite else {"timeout": _CONNECT_TIMEOUT_S},
        hide_parameters=True,  # what people wrote stays out of logged errors
    )
    if is_sqlite:
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    try:
        async with asyncio.TaskGroup() as tasks:
            yield Database(engine, tasks, writers=1 if is_sqlite else pool_size)
    finally:
        await engine.dispose()


def _make_private_file(path: Path) -> None:
    # SQLite gives its -wal and -shm files the rights of the database file.
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _set_up_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver's own transaction handling commits before DDL and begins late: `_begin_sqlite` begins.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {_BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",  # the file remembers it; `migrate` opens the first connection under a lock
        "foreign_keys = ON",
        # A commit is in the kernel's hands before it is acknowledged, so `kill -9` of the process loses
        # nothing already at NORMAL. `Stored` promises the disk, and the turn's job is acknowledged on the
        # strength of it, so FULL: the log is synced at each commit and a power cut loses nothing either.
        "synchronous = FULL",
        "secure_delete = ON",  # a deleted conversation's words do not linger in free pages
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))
