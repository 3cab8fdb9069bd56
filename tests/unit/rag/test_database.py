import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from parley_rag.database import Database, open_database
from parley_rag.migrations import HEAD, VERSION_TABLE
from parley_rag.migrations.upgrade import script_config
from parley_rag.tables import Row, TermRow
from sqlalchemy import Connection, select, text

from tests.unit.rag.library import OWNER


def test_the_code_expects_the_newest_revision() -> None:
    assert ScriptDirectory.from_config(script_config()).get_heads() == [HEAD]


def test_every_row_that_belongs_to_somebody_names_the_owner() -> None:
    without = {name for name, table in Row.metadata.tables.items() if "owner_id" not in table.columns}
    assert without == {"rag_vector_spaces"}
    assert all(name.startswith("rag_") for name in Row.metadata.tables)


async def test_the_migrations_make_exactly_the_tables_of_the_code(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return list(compare_metadata(context, Row.metadata))

    async with database.reading() as session:
        connection = await session.connection()
        assert await connection.run_sync(differences) == []


async def test_a_database_is_opened_again_as_it_was_left(tmp_path: Path) -> None:
    for _ in range(2):
        async with open_database(None, tmp_path) as database, database.reading() as session:
            assert (await session.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))).scalar() == HEAD
            assert (await session.execute(text("PRAGMA journal_mode"))).scalar() == "wal"


async def test_what_is_acknowledged_is_on_disk_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    full = 2
    async with open_database(None, tmp_path) as database:
        async with database.writing() as session:
            assert (await session.execute(text("PRAGMA synchronous"))).scalar() == full
            await session.execute(text("INSERT INTO rag_collections VALUES ('ada', 'default', 1, 'english')"))
        for name in ("rag.sqlite", "rag.sqlite-wal"):
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


async def test_of_two_writers_each_sees_what_the_other_one_wrote(database: Database) -> None:
    async def add_one() -> None:
        async with database.writing() as session:
            row = await session.get(TermRow, (OWNER, 1))
            passages = row.passages if row else 0
            await session.merge(TermRow(owner_id=OWNER, term=1, passages=passages + 1))

    await asyncio.gather(*(add_one() for _ in range(8)))
    async with database.reading() as session:
        assert await session.scalar(select(TermRow.passages)) == 8


async def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    async def fail_in_the_middle() -> None:
        async with database.writing() as session:
            await session.execute(text("INSERT INTO rag_collections VALUES ('ada', 'default', 1, 'english')"))
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        await fail_in_the_middle()
    async with database.reading() as session:
        assert (await session.execute(text("SELECT count(*) FROM rag_collections"))).scalar() == 0


async def test_a_writer_who_is_cancelled_keeps_nobody_waiting(database: Database) -> None:
    kept: list[BaseException] = []

    async def write(term: int) -> None:
        try:
            async with database.writing() as session:
                await session.execute(text(f"INSERT INTO rag_terms VALUES ('ada', {term}, 1)"))
                await session.scalar(select(TermRow.passages).where(TermRow.term == term))
        except BaseException as error:
            kept.append(error)  # whose traceback keeps what the writer had open
            raise

    for term in range(60):
        writer = asyncio.create_task(write(term))
        await asyncio.wait([writer], timeout=term / 10_000)
        writer.cancel()
        await asyncio.wait([writer])
    await write(-1)


async def test_who_writes_is_not_held_up_while_a_log_cannot_be_emptied(tmp_path: Path) -> None:
    async def write(database: Database, term: int) -> None:
        async with database.writing() as session:
            session.add(TermRow(owner_id=OWNER, term=term, passages=1))

    async with open_database(None, tmp_path) as database:
        await write(database, 1)
        async with database.reading() as reading:
            await reading.execute(select(TermRow))
            await write(database, 2)
            emptying = asyncio.create_task(database.truncate_log())
            await asyncio.sleep(0)
            await write(database, 3)
            assert not emptying.done()
            assert not await emptying
        assert await database.truncate_log()
        assert (tmp_path / "rag.sqlite-wal").stat().st_size == 0
