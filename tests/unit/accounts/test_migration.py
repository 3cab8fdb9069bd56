"""The tables of accounts are made and unmade by migrations, and are those that queries see."""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from parley_accounts.tables import STORE, metadata, sessions
from parley_contracts import subjects
from parley_contracts.credentials import CreateKey, KeyCreated
from parley_storage import migrate, open_database
from parley_storage.migration import alembic_config
from sqlalchemy import Connection, inspect, select, update

from tests.unit.accounts.accounts_rig import OWNER, Accounts

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


async def test_migrations_go_up_down_and_up_again(database_url: str | None, tmp_path: Path) -> None:
    async with open_database(STORE, STORE.url(database_url, tmp_path)) as database:
        await migrate(database)
        await database.write(take_down)
        await migrate(database)
        assert await database.read(table_names) == OURS


async def test_the_migrated_tables_are_those_that_queries_see(accounts: Accounts) -> None:
    assert await accounts.database.read(differences) == []


async def test_head_is_the_newest_revision(accounts: Accounts) -> None:
    def heads(connection: Connection) -> list[str]:
        return list(ScriptDirectory.from_config(alembic_config(connection, STORE)).get_heads())

    assert await accounts.database.read(heads) == [STORE.head]


async def test_a_session_from_before_ends_with_the_key_that_opened_it(accounts: Accounts) -> None:
    expires_at_ms = accounts.clock() + 60_000
    request = CreateKey(**OWNER, name="k", expires_at_ms=expires_at_ms)
    made = await accounts.ask(subjects.ACCOUNTS_CREATE_KEY, request, KeyCreated)
    by_key, by_other = await accounts.log_in_with_key(made.key), await accounts.log_in_with_key()
    late_ms = accounts.clock() + 10**10

    def as_before(connection: Connection) -> None:
        command.downgrade(alembic_config(connection, STORE), "0013")
        connection.execute(update(sessions).values(expires_at_ms=late_ms))

    await accounts.database.write(as_before)
    await migrate(accounts.database)
    query = select(sessions.c.id, sessions.c.expires_at_ms)
    found = await accounts.database.read(lambda connection: connection.execute(query).all())
    assert {row.id: row.expires_at_ms for row in found} == {
        by_key.session_id: expires_at_ms,
        by_other.session_id: late_ms,
    }
