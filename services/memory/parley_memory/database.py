"""Transactions that read and transactions that write, each one function in a thread."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any, TypeVar

from parley_contracts.errors import ErrorCode, ParleyError
from sqlalchemy import URL, Connection, Engine, Table, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from parley_memory.engine import TRANSACTION_S, is_sqlite, limit, make_engine, writing

log = logging.getLogger("parley.memory")

Result = TypeVar("Result")
Insert = sqlite.Insert | postgresql.Insert


class Database:
    """Transactions on one engine, with the errors a caller may be told; a thread for each connection."""

    def __init__(self, engine: Engine, *, connections: int, wait_s: float) -> None:
        self._reading = engine
        self._writing = writing(engine)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="database")
        self._running: set[asyncio.Future[Any]] = set()
        self._wait_s = wait_s
        self._free = asyncio.Semaphore(connections)
        # SQLite has one writer: queueing here is fair and costs nothing, while its own waiting sleeps.
        self._writers = asyncio.Semaphore(1 if self.is_sqlite else connections)

    @property
    def url(self) -> URL:
        return self._reading.url

    @property
    def is_sqlite(self) -> bool:
        return is_sqlite(self._reading)

    def insert(self, table: Table) -> Insert:
        """Return an insert that knows `on_conflict_...` in the engine's dialect."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Return what `work` reads in one transaction, in a thread.

        Raises:
            ParleyError: `overloaded` when no connection came free, `unavailable` when the database is away
                or took longer than TRANSACTION_S.
        """
        return await self._run(self._reading, work, TRANSACTION_S, (self._free,))

    async def write(self, work: Callable[[Connection], Result], *, within_s: float = TRANSACTION_S) -> Result:
        """Return what `work` does in a transaction that commits at its end; raises as `read`.

        A caller who is cancelled before the transaction begins leaves nothing behind; later, it goes on to
        its end without him.
        """
        return await self._run(self._writing, work, within_s, (self._writers, self._free))

    async def check(self) -> None:
        """Raise when the database does not answer."""
        await self.read(lambda connection: connection.execute(select(1)))

    async def close(self) -> None:
        """Wait for what runs, each at most as long as its driver lets it, and close the connections."""
        try:
            if self._running:
                await asyncio.wait(self._running)
            await asyncio.get_running_loop().run_in_executor(self._threads, self._reading.dispose)
        finally:
            self._threads.shutdown(wait=not self._running)

    async def _run(
        self,
        engine: Engine,
        work: Callable[[Connection], Result],
        within_s: float,
        slots: tuple[asyncio.Semaphore, ...],
    ) -> Result:
        taken = await self._take(slots)
        ending = asyncio.get_running_loop().run_in_executor(self._threads, _transact, engine, work, within_s)
        self._running.add(ending)
        ending.add_done_callback(self._running.discard)
        ending.add_done_callback(lambda _: taken.close())
        with _errors_told():
            try:
                return await asyncio.shield(ending)
            except asyncio.CancelledError:
                ending.add_done_callback(_look_away)
                raise

    async def _take(self, slots: tuple[asyncio.Semaphore, ...]) -> ExitStack:
        with ExitStack() as taken:
            try:
                async with asyncio.timeout(self._wait_s):
                    for slot in slots:
                        await slot.acquire()
                        taken.callback(slot.release)
            except TimeoutError:
                message = "The conversation store is overloaded."
                raise ParleyError(ErrorCode.OVERLOADED, message) from None
            return taken.pop_all()


def _transact(engine: Engine, work: Callable[[Connection], Result], within_s: float) -> Result:
    with engine.begin() as connection:
        limit(connection, within_s)
        return work(connection)


def _look_away(ending: asyncio.Future[Any]) -> None:
    """Take note of what nobody waits for any more; whoever needed it asks again."""
    if not ending.cancelled() and (error := ending.exception()):
        log.info("a transaction whose caller has left failed", extra={"error": repr(error)})


@contextmanager
def _errors_told() -> Generator[None]:
    try:
        yield
    except (DBAPIError, sqlite3.OperationalError, OSError) as error:
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
    engine = make_engine(url, connections=pool_size)
    database = Database(engine, connections=pool_size, wait_s=pool_wait_s)
    try:
        yield database
    finally:
        await database.close()
