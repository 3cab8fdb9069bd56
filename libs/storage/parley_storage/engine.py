"""An engine over SQLite or PostgreSQL; its driver keeps the time that a transaction may take."""

import os
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

TRANSACTION_S = 20.0
"""How long a transaction may take: one that hangs would keep others from writing, and a thread."""

_BEGIN = "sqlite_begin"
_TRUNCATE_BUSY_MS = 50
_STEPS_BETWEEN_LOOKS = 100_000  # of SQLite's virtual machine: some milliseconds
_POSTGRESQL = {
    "connect_timeout": 5,
    # A server that went without a word is noticed within TRANSACTION_S, while sending and while waiting.
    "tcp_user_timeout": 15_000,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
}


def is_sqlite(engine: Engine | Connection) -> bool:
    """Return whether it is SQLite's."""
    return engine.dialect.name == "sqlite"


def make_engine(url: URL, *, connections: int, wait_s: float) -> Engine:
    """Return an engine at `url` (from `Store.url`) that keeps `connections`; none is open yet.

    `wait_s` is how long a transaction waits for another process that writes into SQLite's file.
    """
    if url.get_backend_name() == "sqlite":
        _make_private_file(Path(url.database or ""))
        engine = _pooled(url, connections)
        event.listen(engine, "connect", partial(_set_up_sqlite, wait_s=wait_s))
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    told = {name: value for name, value in _POSTGRESQL.items() if name not in url.query}
    engine = _pooled(url, connections, connect_args=told)
    event.listen(engine, "connect", _set_up_postgresql)
    return engine


def writing(engine: Engine) -> Engine:
    """Return the engine with transactions that hold SQLite's write lock from their beginning."""
    # One that begins by reading and writes later fails at once when another has written in between
    # (SQLITE_BUSY_SNAPSHOT, which no timeout helps).
    return engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})


def limit(connection: Connection, within_s: float) -> None:
    """Have what runs longer broken off: on SQLite the transaction, on PostgreSQL a statement of it."""
    if is_sqlite(connection):
        ends_s = time.monotonic() + within_s
        _driver(connection).set_progress_handler(lambda: time.monotonic() > ends_s, _STEPS_BETWEEN_LOOKS)
    elif within_s != TRANSACTION_S:  # which `_set_up_postgresql` has set
        connection.execute(select(func.set_config("statement_timeout", _milliseconds(within_s), True)))


def truncate(engine: Engine) -> bool:
    """Have SQLite empty its log; False when somebody still reads by it.

    What can be moved without anybody's waiting is moved first: who writes is held up for a moment only.
    """
    with engine.connect() as connection:
        driver = _driver(connection)
        driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        (wait_ms,) = driver.execute("PRAGMA busy_timeout").fetchone()
        driver.execute(f"PRAGMA busy_timeout = {_TRUNCATE_BUSY_MS}").fetchall()
        try:
            return driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        finally:
            driver.execute(f"PRAGMA busy_timeout = {wait_ms}").fetchall()


def tell_connections(engine: Engine, tell: Callable[[Any], None]) -> None:
    """Have `tell` called with the driver's connection, in the thread that is about to use it.

    A new one is told of before anything is said on it: already the first word may go unanswered.
    """

    def told(connection: DBAPIConnection, *_: object) -> None:
        tell(connection)

    event.listen(engine, "connect", told, insert=True)
    event.listen(engine, "checkout", told)


def cut_off(connection: Any) -> None:
    """End what a thread waits for on a driver's connection, from another one: for a server that says nothing.

    PostgreSQL's own clocks are of no use then, and TCP's are answered by the system of a process that hangs.
    On SQLite `limit` has seen to it.
    """
    if isinstance(connection, sqlite3.Connection):
        return
    # One that is closed meanwhile has no wire any more.
    with suppress(OSError, connection.Error), socket.fromfd(connection.fileno(), socket.AF_INET, 0) as wire:
        wire.shutdown(socket.SHUT_RDWR)


def _pooled(url: URL, connections: int, **options: Any) -> Engine:
    return create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        # The connection used last has its pages and prepared statements at hand.
        pool_use_lifo=True,
        hide_parameters=True,  # what people wrote stays out of logged errors
        **options,
    )


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


def _make_private_file(path: Path) -> None:
    # SQLite gives its -wal and -shm files the rights of the database file.
    path.parent.mkdir(parents=True, exist_ok=True)
    # One that is there is left alone: closing it would end the locks of this process's other connections.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _set_up_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry, *, wait_s: float) -> None:
    # The driver's own transaction handling commits before DDL and begins late: `_begin_sqlite` begins.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {_milliseconds(wait_s)}",
        "journal_mode = WAL",  # the file remembers it; `migrate` opens the first connection under a lock
        "foreign_keys = ON",
        # A commit is in the kernel's hands before it is acknowledged, so `kill -9` of the process loses
        # nothing already at NORMAL. Services promise the disk, and jobs are acknowledged on the strength of
        # it, so FULL: the log is synced at each commit and a power cut loses nothing either.
        "synchronous = FULL",
        "secure_delete = ON",  # what was deleted does not linger in free pages
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # Past SQLAlchemy's execution, which costs more than the statement; what it raises is the driver's.
    _driver(connection).execute(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _set_up_postgresql(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The server's own clocks: they also end the transaction of a process that has been stopped in it.
    cursor = connection.cursor()
    for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
        cursor.execute("SELECT set_config(%s, %s, false)", (name, _milliseconds(TRANSACTION_S)))
    cursor.close()
    connection.commit()
