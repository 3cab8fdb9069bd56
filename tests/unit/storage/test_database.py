"""Transactions in threads: whose callers leave, which hang, and for which nothing comes free."""

import asyncio
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_storage import Database, open_database
from parley_storage import database as database_module
from sqlalchemy import URL, Connection, text

from tests.unit.storage.notes import NOTES

WAIT_S = 10
ENDLESS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
}


@pytest.fixture
async def database(url: URL) -> AsyncGenerator[Database]:
    """A database with one connection and a table."""
    async with open_database(NOTES, url, pool_size=1, pool_wait_s=WAIT_S) as opened:
        await opened.write(create)
        yield opened


def create(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE kept (n INTEGER)"))


def insert(connection: Connection) -> None:
    connection.execute(text("INSERT INTO kept VALUES (2)"))


def count(connection: Connection) -> int:
    return connection.execute(text("SELECT count(*) FROM kept")).scalar_one()


def look_and_insert(connection: Connection) -> None:
    count(connection)
    insert(connection)


def hang(connection: Connection) -> None:
    insert(connection)
    connection.execute(text(ENDLESS[connection.dialect.name])).all()


class HeldWrite:
    """A transaction that stays open until it is let go."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self._begun = threading.Event()

    def __call__(self, connection: Connection) -> None:
        insert(connection)
        self._begun.set()
        assert self.may_end.wait(WAIT_S)

    async def begun(self) -> None:
        assert await asyncio.to_thread(self._begun.wait, WAIT_S)


async def leave(caller: "asyncio.Future[None]") -> None:
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def refusal(caller: "asyncio.Future[None]") -> ErrorCode:
    with pytest.raises(ParleyError) as caught:
        await caller
    return caught.value.code


async def test_a_write_whose_caller_leaves_goes_on_to_its_end_before_the_next_begins(url: URL) -> None:
    async with open_database(NOTES, url) as database:
        await database.write(create)
        held = HeldWrite()
        leaving = asyncio.ensure_future(database.write(held))
        await held.begun()
        await leave(leaving)
        following = asyncio.ensure_future(database.write(insert))
        held.may_end.set()
        await following
        assert await database.read(count) == 2


async def test_a_write_whose_caller_leaves_before_it_begins_is_not_made(database: Database) -> None:
    held = HeldWrite()
    first = asyncio.ensure_future(database.write(held))
    await held.begun()
    waiting = asyncio.ensure_future(database.write(insert))
    await asyncio.sleep(0)
    await leave(waiting)
    held.may_end.set()
    await first
    assert await database.read(count) == 1


async def test_a_write_whose_caller_has_left_ends_before_the_database_is_closed(url: URL) -> None:
    held = HeldWrite()
    async with open_database(NOTES, url) as database:
        await database.write(create)
        leaving = asyncio.ensure_future(database.write(held))
        await held.begun()
        await leave(leaving)
        asyncio.get_running_loop().call_soon(held.may_end.set)
    async with open_database(NOTES, url) as database:
        assert await database.read(count) == 1


async def test_a_closed_database_leaves_no_thread(url: URL) -> None:
    before = set(threading.enumerate())
    async with open_database(NOTES, url) as database:
        await asyncio.gather(*(database.check() for _ in range(8)))
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) <= before


async def test_what_a_write_raises_reaches_its_caller_and_undoes_it(database: Database) -> None:
    def fail(connection: Connection) -> None:
        insert(connection)
        raise LookupError("no")

    with pytest.raises(LookupError):
        await database.write(fail)
    assert await database.read(count) == 0


async def test_a_write_that_hangs_is_given_up_and_lets_the_next_one_write(database: Database) -> None:
    began_s = time.monotonic()
    assert await refusal(asyncio.ensure_future(database.write(hang, within_s=0.05))) is ErrorCode.UNAVAILABLE
    assert time.monotonic() - began_s < WAIT_S
    await database.write(insert)
    assert await database.read(count) == 1


async def test_the_limit_of_one_transaction_is_not_that_of_the_next(database: Database) -> None:
    def slow(connection: Connection) -> None:
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
        connection.execute(text(f"{numbers} SELECT count(*) FROM n")).all()

    assert await refusal(asyncio.ensure_future(database.write(slow, within_s=0.001))) is ErrorCode.UNAVAILABLE
    await database.read(slow)


@pytest.mark.parametrize("waits_to", ["read", "write"])
async def test_who_gets_no_connection_in_time_is_told_that_the_store_is_overloaded(
    url: URL, waits_to: str
) -> None:
    async with open_database(NOTES, url, pool_size=1, pool_wait_s=0.05) as database:
        await database.write(create)
        held = HeldWrite()
        leaving = asyncio.ensure_future(database.write(held))
        await held.begun()
        await leave(leaving)
        waiting = database.write(insert) if waits_to == "write" else database.check()
        assert await refusal(asyncio.ensure_future(waiting)) is ErrorCode.OVERLOADED
        held.may_end.set()
    async with open_database(NOTES, url, pool_size=1) as database:
        assert await database.read(count) == 1


async def test_reads_go_on_while_a_write_waits_for_that_of_another_process(tmp_path: Path) -> None:
    url = NOTES.url(None, tmp_path)
    async with open_database(NOTES, url, pool_size=2) as one, open_database(NOTES, url, pool_size=2) as other:
        await one.write(create)
        held = HeldWrite()
        first = asyncio.ensure_future(one.write(held))
        await held.begun()
        second = asyncio.ensure_future(other.write(look_and_insert))
        assert await other.read(count) == 0
        held.may_end.set()
        await first
        await second
        assert await other.read(count) == 2


async def test_a_write_that_another_process_keeps_from_beginning_finds_the_store_unavailable(
    tmp_path: Path,
) -> None:
    url = NOTES.url(None, tmp_path)
    async with open_database(NOTES, url) as one, open_database(NOTES, url, pool_wait_s=0.02) as other:
        await one.write(create)
        held = HeldWrite()
        first = asyncio.ensure_future(one.write(held))
        await held.begun()
        assert await refusal(asyncio.ensure_future(other.write(insert))) is ErrorCode.UNAVAILABLE
        held.may_end.set()
        await first
        await other.write(insert)
        assert await other.read(count) == 2


TAKE_LOCK = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)  # what SQLite holds while it is open
"""


async def test_opening_a_file_once_more_ends_no_lock_that_this_process_has_on_it(tmp_path: Path) -> None:
    url = NOTES.url(None, tmp_path)
    async with open_database(NOTES, url) as one:
        await one.write(create)
        async with open_database(NOTES, url):
            command = [sys.executable, "-c", TAKE_LOCK, str(url.database)]
            taking = await asyncio.to_thread(subprocess.run, command, capture_output=True)
    assert b"BlockingIOError" in taking.stderr


@pytest.mark.server_only
async def test_a_server_that_says_nothing_any_more_keeps_no_thread(
    url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    if url.get_backend_name() == "sqlite":
        pytest.skip("SQLite is no server")
    monkeypatch.setattr(database_module, "SILENT_S", 0.2)
    async with open_database(NOTES, url, pool_size=1, pool_wait_s=WAIT_S) as opened:
        pid = await opened.read(lambda found: found.execute(text("SELECT pg_backend_pid()")).scalar_one())
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(ParleyError) as caught:
                await opened.write(create, within_s=0.2)
            assert caught.value.code is ErrorCode.UNAVAILABLE
            # The one thread is free again, and the next connection a new one.
            await opened.check()
        finally:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.server_only
async def test_a_connection_that_has_died_costs_no_transaction(url: URL) -> None:
    if url.get_backend_name() == "sqlite":
        pytest.skip("SQLite is no server")
    async with open_database(NOTES, url, pool_size=1, pool_wait_s=WAIT_S) as opened:
        pid = await opened.read(lambda found: found.execute(text("SELECT pg_backend_pid()")).scalar_one())
        os.kill(pid, signal.SIGTERM)
        await opened.write(create)


@pytest.mark.server_only
async def test_a_commit_whose_answer_is_lost_is_not_made_again(url: URL) -> None:
    if url.get_backend_name() == "sqlite":
        pytest.skip("SQLite is no server")
    runs: list[int] = []

    def insert_and_lose(connection: Connection) -> None:
        insert(connection)
        runs.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
        os.kill(runs[-1], signal.SIGTERM)

    async with open_database(NOTES, url, pool_size=1, pool_wait_s=WAIT_S) as opened:
        await opened.write(create)
        with pytest.raises(ParleyError) as caught:
            await opened.write(insert_and_lose)
        assert caught.value.code is ErrorCode.UNAVAILABLE
        assert len(runs) == 1


@pytest.mark.server_only
async def test_two_who_wait_for_each_other_both_come_to_their_end(url: URL) -> None:
    if url.get_backend_name() == "sqlite":
        pytest.skip("SQLite has one writer")
    tries: list[str] = []
    both_hold_one = threading.Barrier(2)

    def taking(*keys: str) -> Callable[[Connection], None]:
        def take(connection: Connection) -> None:
            is_first = keys[0] not in tries
            tries.append(keys[0])
            for place, key in enumerate(keys):
                changed = text("UPDATE notes_held SET times = times + 1 WHERE key = :key")
                connection.execute(changed, {"key": key})
                if place == 0 and is_first:
                    both_hold_one.wait(WAIT_S)

        return take

    def prepare(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE notes_held (key TEXT PRIMARY KEY, times INTEGER)"))
        connection.execute(text("INSERT INTO notes_held VALUES ('a', 0), ('b', 0)"))

    async with open_database(NOTES, url) as opened:
        await opened.write(prepare)
        await asyncio.gather(opened.write(taking("a", "b")), opened.write(taking("b", "a")))
        query = text("SELECT times FROM notes_held")
        assert await opened.read(lambda found: found.execute(query).scalars().all()) == [2, 2]
    assert len(tries) == 3


@pytest.mark.server_only
async def test_what_is_deadlocked_again_and_again_is_given_up(url: URL) -> None:
    if url.get_backend_name() == "sqlite":
        pytest.skip("SQLite has one writer")
    tries: list[int] = []

    def lose(connection: Connection) -> None:
        tries.append(len(tries))
        connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '40P01'; END $$"))

    async with open_database(NOTES, url) as opened:
        assert await refusal(asyncio.ensure_future(opened.write(lose))) is ErrorCode.UNAVAILABLE
    assert len(tries) == 1 + database_module.DEADLOCKS


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


async def _let_in_and_be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak as far as PgBouncer does whose server hangs."""
    no_encryption = (80877103, 80877104)
    code = no_encryption[0]
    while code in no_encryption:
        (length,) = struct.unpack("!i", await reader.readexactly(4))
        (code,) = struct.unpack("!i", (await reader.readexactly(length - 4))[:4])
        if code in no_encryption:
            writer.write(b"N")
    told = {b"server_version": b"15.0", b"client_encoding": b"UTF8", b"standard_conforming_strings": b"on"}
    writer.write(_message(b"R", struct.pack("!i", 0)))
    writer.writelines(_message(b"S", name + b"\0" + value + b"\0") for name, value in told.items())
    writer.write(_message(b"K", struct.pack("!ii", 1, 1)) + _message(b"Z", b"I"))
    while await reader.read(4096):
        pass
    writer.close()


async def test_a_server_that_is_silent_from_the_first_word_keeps_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database_module, "SILENT_S", 0.1)
    async with await asyncio.start_server(_let_in_and_be_silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = URL.create("postgresql+psycopg", "u", "p", "127.0.0.1", port, "d")
        async with (
            asyncio.timeout(WAIT_S),
            open_database(NOTES, url, pool_size=1, pool_wait_s=WAIT_S) as opened,
        ):
            for _ in range(2):
                with pytest.raises(ParleyError) as caught:
                    await opened.write(create, within_s=0.1)
                assert caught.value.code is ErrorCode.UNAVAILABLE


async def test_who_writes_is_not_held_up_while_a_log_cannot_be_emptied(tmp_path: Path) -> None:
    url = NOTES.url(None, tmp_path)
    async with open_database(NOTES, url, pool_size=2, pool_wait_s=WAIT_S) as database:
        await database.write(create)
        reader = sqlite3.connect(str(url.database), isolation_level=None)
        try:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM kept").fetchall()
            await database.write(insert)
            emptying = asyncio.create_task(database.truncate_log())
            await asyncio.sleep(0)
            await database.write(insert)
            assert not emptying.done()
            assert not await emptying
            reader.execute("COMMIT")
        finally:
            reader.close()
        assert await database.truncate_log()
        assert (tmp_path / f"{Path(str(url.database)).name}-wal").stat().st_size == 0
        assert await database.read(count) == 2
