"""Tables are made and unmade by migrations, by one of several instances that start at once."""

import asyncio
import fcntl
import stat
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from parley_memory.tables import STORE, metadata
from parley_storage import open_database
from parley_storage.migration import alembic_config, migrate
from sqlalchemy import URL, Connection, inspect

from tests.unit.memory.stored_turns import Memory, open_memory, store_turn

OURS = {STORE.version_table, *metadata.tables}


def table_names(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"version_table": STORE.version_table})
    return list(compare_metadata(context, metadata))


def take_down(connection: Connection) -> None:
    assert table_names(connection) == OURS
    command.downgrade(alembic_config(connection, STORE), "base")
    assert table_names(connection) == {STORE.version_table}


async def test_migrations_go_up_down_and_up_again(url: URL) -> None:
    async with open_database(STORE, url) as database:
        await migrate(database)
        await database.write(take_down)
        await migrate(database)
        assert await database.read(table_names) == OURS
    async with open_memory(url) as memory:
        assert (await memory.handlers.store_turn(store_turn(1))).is_new


async def test_the_migrated_tables_are_those_that_queries_see(memory: Memory) -> None:
    assert await memory.database.read(differences) == []


async def test_instances_that_start_at_once_all_start(url: URL) -> None:
    async def start(number: int) -> None:
        async with open_memory(url) as memory:
            await memory.handlers.store_turn(store_turn(number))

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(start(number))
    async with open_memory(url) as memory:
        assert len(await memory.messages("c1")) == 12


async def test_a_second_start_keeps_what_is_stored(url: URL) -> None:
    async with open_memory(url) as memory:
        await memory.handlers.store_turn(store_turn(1))
    async with open_memory(url) as memory:
        assert len(await memory.messages("c1")) == 2
        await memory.database.check()


async def test_head_is_the_newest_revision(memory: Memory) -> None:
    def heads(connection: Connection) -> list[str]:
        return list(ScriptDirectory.from_config(alembic_config(connection, STORE)).get_heads())

    assert await memory.database.read(heads) == [STORE.head]


async def test_a_start_gives_up_when_another_keeps_the_lock(tmp_path: Path) -> None:
    url = STORE.url(None, tmp_path)
    async with open_database(STORE, url) as database:
        await migrate(database)
        with (tmp_path / "memory.sqlite.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(TimeoutError):
                await migrate(database, start_wait_s=0.1)
        await migrate(database)


async def test_nobody_else_may_read_the_file(tmp_path: Path) -> None:
    async with open_memory(STORE.url(None, tmp_path / "new")) as memory:
        await memory.handlers.store_turn(store_turn(1))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}

    assert set(modes) == {
        "memory.sqlite",
        "memory.sqlite-wal",
        "memory.sqlite-shm",
        "memory.sqlite.lock",
    }
    assert set(modes.values()) == {0o600}
