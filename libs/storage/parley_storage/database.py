"""Transactions that read and transactions that write, each one function in a thread."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from threading import get_ident
from typing import Any, Protocol, TypeVar

from parley_contracts.errors import ErrorCode, ParleyError
from sqlalchemy import URL, Connection, Engine, Table, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from parley_storage.engine import (
    TRANSACTION_S,
    cut_off,
    is_sqlite,
    limit,
    make_engine,
    tell_connections,
    truncate,
    writing,
)
from parley_storage.store import Store

log = logging.getLogger("parley.storage")

Result = TypeVar("Result")
Insert = sqlite.Insert | postgresql.Insert


TRUNCATE_TRIES = 5
TRUNCATE_PAUSE_S = 0.2

DEADLOCKS = 3
"""How often a transaction is begun again that PostgreSQL has ended because two waited for each other."""

SILENT_S = 2.0
"""How much longer than its transaction may take a silent server is waited for."""


class Wrap(Protocol):
    """Makes other work of the work of a transaction."""

    def __call__(self, work: Callable[[Connection], Result]) -> Callable[[Connection], Result]:
        """Return work with the same result."""
        ...


def _unwrapped(work: Callable[[Connection], Result]) -> Callable[[Connection], Result]:
    return work


class Database:
    """Transactions on one engine, with the errors a caller may be told; a thread for each connection."""

    def __init__(self, engine: Engine, store: Store, *, connections: int, wait_s: float) -> None:
        self.store = store
        self._reading = engine
        self._writing = writing(engine)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="database")
        self._running: set[asyncio.Future[Any]] = set()
        self._in_threads: dict[int, _Transaction] = {}
        tell_connections(engine, self._note_connection)
        self._wrap: Wrap = _unwrapped
        self._wait_s = wait_s
        self._free = asyncio.Semaphore(connections)
        # SQLite has one writer: queueing here is fair and costs nothing, while its own waiting sleeps.
        self._writers = asyncio.Semaphore(1 if self.is_sqlite else connections)

    @property
    def url(self) -> URL:
        """Where it is."""
        return self._reading.url

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file."""
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

        `work` may run several times, each in a transaction that knows nothing of the one before: it changes
        what is on the connection, and in memory only what the next run sets anew. A caller who is cancelled
        before the transaction begins leaves nothing behind; later, it goes on to its end without him.
        """
        return await self._run(self._writing, self._wrap(work), within_s, (self._writers, self._free))

    def wrap_writes(self, wrap: "Wrap") -> None:
        """Have each transaction that writes do what `wrap` makes of its work, where it is asked for."""
        self._wrap = wrap

    async def check(self) -> None:
        """Raise when the database does not answer."""
        await self.read(lambda connection: connection.execute(select(1)))

    async def truncate_log(self) -> bool:
        """Have SQLite move its log into the file and empty it: what was deleted stands there until then.

        False when somebody still reads by it after several tries; between them others write. PostgreSQL
        sees to its own.
        """
        if not self.is_sqlite:
            return True
        for _ in range(TRUNCATE_TRIES):
            with await self._take((self._writers, self._free)):
                if await asyncio.get_running_loop().run_in_executor(self._threads, truncate, self._reading):
                    return True
            await asyncio.sleep(TRUNCATE_PAUSE_S)
        return False

    async def close(self) -> None:
        """Wait for what runs, each at most as long as its driver lets it, and close the connections."""
        try:
            if self._running:
                await asyncio.wait(self._running)
            await asyncio.get_running_loop().run_in_executor(self._threads, self._reading.dispose)
        finally:
            self._threads.shutdown(wait=not self._running)

    def _note_connection(self, connection: Any) -> None:
        if (transaction := self._in_threads.get(get_ident())) is not None:
            transaction.connection = connection

    async def _run(
        self,
        engine: Engine,
        work: Callable[[Connection], Result],
        within_s: float,
        slots: tuple[asyncio.Semaphore, ...],
    ) -> Result:
        taken = await self._take(slots)
        loop, transaction = asyncio.get_running_loop(), _Transaction(engine, within_s, self._in_threads)
        ending = loop.run_in_executor(self._threads, transaction.run, work)
        self._running.add(ending)
        ending.add_done_callback(self._running.discard)
        # Kept also for a caller who leaves: a thread that waits for ever is one less for all others.
        clock = loop.call_later(within_s + SILENT_S, transaction.cut_off)
        taken.callback(clock.cancel)
        ending.add_done_callback(lambda _: taken.close())
        with self._errors_told():
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
                raise self._error(ErrorCode.OVERLOADED, "overloaded") from None
            return taken.pop_all()

    @contextmanager
    def _errors_told(self) -> Generator[None]:
        try:
            yield
        except (DBAPIError, sqlite3.OperationalError, OSError) as error:
            if isinstance(error, DBAPIError) and not _is_away(error):
                raise
            log.warning("database unavailable", exc_info=True)
            raise self._error(ErrorCode.UNAVAILABLE, "unavailable") from error

    def _error(self, code: ErrorCode, state: str) -> ParleyError:
        return ParleyError(code, f"The {self.store.title} is {state}.")


class _Transaction:
    """One transaction in a thread, and the way to end it from outside."""

    def __init__(self, engine: Engine, within_s: float, in_threads: "dict[int, _Transaction]") -> None:
        self._engine = engine
        self._within_s = within_s
        self._in_threads = in_threads
        self._is_last_try = False
        self.connection: Any = None
        """The driver's connection that the thread is at."""

    def run(self, work: Callable[[Connection], Result]) -> Result:
        """Do the work, in the thread; what meets a connection that has died, or a deadlock, is done again."""
        self._in_threads[get_ident()] = self
        deadlocks = 0
        try:
            while True:
                try:
                    return self._try(work)
                except DBAPIError as error:
                    is_deadlock = _is_deadlock(error)
                    deadlocks += is_deadlock
                    may_again = error.connection_invalidated or (is_deadlock and deadlocks <= DEADLOCKS)
                    if self._is_last_try or not may_again:
                        raise
                    # After a deadlock the connection is as good as before, and may still die.
                    self._is_last_try = self._is_last_try or not is_deadlock
        finally:
            del self._in_threads[get_ident()]
            self.connection = None

    def _try(self, work: Callable[[Connection], Result]) -> Result:
        with self._engine.connect() as connection, connection.begin():
            limit(connection, self._within_s)
            result = work(connection)
            # Whether a commit whose answer is lost was carried out, nobody knows.
            self._is_last_try = True
            return result

    def cut_off(self) -> None:
        """End it, if its driver and its server have not."""
        self._is_last_try = True
        if self.connection is not None:
            log.warning("the database says nothing; the connection is cut off")
            cut_off(self.connection)


def _look_away(ending: asyncio.Future[Any]) -> None:
    """Take note of what nobody waits for any more; whoever needed it asks again."""
    if not ending.cancelled() and (error := ending.exception()):
        log.info("a transaction whose caller has left failed", extra={"error": repr(error)})


def _is_deadlock(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) == "40P01"


def _is_away(error: DBAPIError) -> bool:
    return isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated


@asynccontextmanager
async def open_database(
    store: Store, url: URL, *, pool_size: int = 4, pool_wait_s: float = 5.0
) -> AsyncGenerator[Database]:
    """Yield the database of a store at `url` (from `Store.url`); its tables may not be there yet.

    `pool_wait_s` is how long a transaction waits for one of the connections, and then for another process
    that writes into SQLite's file.
    """
    engine = make_engine(url, connections=pool_size, wait_s=pool_wait_s)
    database = Database(engine, store, connections=pool_size, wait_s=pool_wait_s)
    try:
        yield database
    finally:
        await database.close()
