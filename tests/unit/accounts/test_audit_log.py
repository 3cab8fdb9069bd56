"""The chain of the audit: every event once, one line whoever writes, and nothing in it can be changed."""

import asyncio
from typing import Any

import pytest
from parley_accounts.audit_log import AuditLog, Told
from parley_accounts.tables import STORE, audit_anchors, audit_log
from parley_contracts import stream_names, subjects
from parley_contracts.accounts import LogIn, SessionTokens
from parley_contracts.audit import Action, AuditAnchored, AuditRow, Outcome
from parley_contracts.credentials import CreateKey, KeyCreated
from parley_identity.audit_chain import FIRST_PREV_HASH, ChainCheck, ChainFault, is_signed, row_hash
from parley_messaging.memory_bus import MemoryBus
from parley_storage import open_database
from sqlalchemy import URL, Connection, delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from tests.unit.accounts.accounts_rig import PASSWORD, Accounts, as_user, open_accounts
from tests.unit.accounts.audit_rig import event, fill, head_of, rows_of, settle, tamper


def checked(rows: list[AuditRow]) -> ChainCheck:
    check = ChainCheck("", {})
    for row in rows:
        check.take(row)
    return check


async def test_each_row_hashes_the_one_before_it(accounts: Accounts) -> None:
    events = await fill(accounts, 5)
    rows = await rows_of(accounts.database)
    assert [row.event_id for row in rows] == [one.id for one in events]
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0].prev_hash == FIRST_PREV_HASH
    assert [row.prev_hash for row in rows[1:]] == [row.hash for row in rows[:-1]]
    assert all(row.hash == row_hash(row.prev_hash, row.model_dump()) for row in rows)
    assert checked(rows).broken is None
    head = await accounts.database.read(head_of)
    assert (head.seq, head.hash) == (5, rows[-1].hash)


async def test_an_event_that_comes_again_changes_nothing(accounts: Accounts) -> None:
    events = await fill(accounts, 3)
    before = await rows_of(accounts.database)
    await asyncio.gather(*(accounts.parts.audit.log.append(Told("rag", one)) for one in (*events, *events)))
    assert await rows_of(accounts.database) == before


async def test_several_processes_write_one_line(accounts: Accounts, url: URL) -> None:
    events = [event() for _ in range(120)]
    async with open_database(STORE, url) as other:
        logs = [AuditLog(accounts.database), AuditLog(other), AuditLog(other)]
        # Each event goes to two of them, as after a delivery that was not acknowledged.
        work = [
            logs[(n + again) % 3].append(Told("rag", one)) for n, one in enumerate(events) for again in (0, 1)
        ]
        await asyncio.gather(*work)
    rows = await rows_of(accounts.database)
    assert sorted(row.event_id for row in rows) == sorted(one.id for one in events)
    assert checked(rows).broken is None


async def test_a_restart_goes_on_with_the_same_line(url: URL) -> None:
    async with open_accounts(url) as first:
        await fill(first, 2)
    async with open_accounts(url) as second:
        await fill(second, 2)
        rows = await rows_of(second.database)
    assert [row.seq for row in rows] == [1, 2, 3, 4]
    assert checked(rows).broken is None


def refused(connection: Connection, statement: Any) -> None:
    with pytest.raises(DBAPIError, match="append-only"), connection.begin_nested():
        connection.execute(statement)


async def test_the_database_refuses_to_change_a_row(accounts: Accounts) -> None:
    await fill(accounts, 3)
    before = await rows_of(accounts.database)

    def change(connection: Connection) -> None:
        refused(connection, update(audit_log).values(actor_id="b" * 32))
        refused(connection, update(audit_log).where(audit_log.c.seq == 2).values(outcome="refused"))
        refused(connection, delete(audit_log))
        refused(connection, delete(audit_log).where(audit_log.c.seq == 3))

    await accounts.database.write(change)
    assert await rows_of(accounts.database) == before


@pytest.mark.parametrize(
    "conflict", [{"seq": 2}, {"event_id": "of the second"}], ids=["the same number", "the same event"]
)
@pytest.mark.parametrize("words", ["INSERT OR REPLACE", "ON CONFLICT DO UPDATE"])
async def test_the_database_refuses_to_replace_a_row(
    accounts: Accounts, words: str, conflict: dict[str, Any]
) -> None:
    await fill(accounts, 3)
    before = await rows_of(accounts.database)
    row = {**before[1].model_dump(), "seq": 9, "event_id": "another", "actor_id": "b" * 32}
    row.update(
        {name: before[1].event_id if name == "event_id" else value for name, value in conflict.items()}
    )

    def replace(connection: Connection) -> None:
        if words == "ON CONFLICT DO UPDATE":
            column = next(iter(conflict))
            into = accounts.database.insert(audit_log).values(**row)
            refused(
                connection, into.on_conflict_do_update(index_elements=[column], set_={"actor_id": "b" * 32})
            )
        elif connection.dialect.name == "sqlite":
            refused(connection, insert(audit_log).prefix_with("OR REPLACE").values(**row))

    await accounts.database.write(replace)
    assert await rows_of(accounts.database) == before


async def test_the_file_refuses_to_replace_a_row_by_its_place(accounts: Accounts) -> None:
    """SQLite has a number of its own for each row, by which another one can be put in its place."""
    await fill(accounts, 3)
    before = await rows_of(accounts.database)
    row = {**before[1].model_dump(), "seq": 9, "event_id": "another"}
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    statement = f"INSERT OR REPLACE INTO accounts_audit_log (rowid, {names}) VALUES (2, {values})"

    def replace(connection: Connection) -> None:
        if connection.dialect.name == "sqlite":
            refused(connection, text(statement).bindparams(**row))

    await accounts.database.write(replace)
    assert await rows_of(accounts.database) == before
    await fill(accounts, 1)
    assert len(await rows_of(accounts.database)) == 4


async def test_what_cannot_be_read_is_a_row_that_says_so(accounts: Accounts) -> None:
    await accounts.bus.store(subjects.audit_events("rag"), b'{"action": "what I had for lunch"}')
    (row,) = await settle(accounts)
    assert (row.writer, row.action, row.outcome) == ("rag", Action.EVENTS_LOST, Outcome.FAILED)


# -- what accounts changes itself ---------------------------------------------------------------------


async def test_what_accounts_does_stands_in_its_own_audit_once(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    tokens = await accounts.log_in("ada")
    made = await accounts.ask(
        subjects.ACCOUNTS_CREATE_KEY, CreateKey(**as_user(ada), name="laptop"), KeyCreated
    )
    rows = await settle(accounts)
    assert [(row.action, row.object_id, row.outcome, row.writer) for row in rows] == [
        (Action.USER_CREATED, ada.id, Outcome.DONE, "accounts"),
        (Action.SESSION_OPENED, tokens.session_id, Outcome.DONE, "accounts"),
        (Action.KEY_CREATED, made.described.id, Outcome.DONE, "accounts"),
    ]
    assert (rows[1].actor_kind, rows[1].actor_id) == ("user", ada.id)
    assert await settle(accounts) == rows


async def test_a_change_and_its_event_are_one_transaction(accounts: Accounts) -> None:
    """The event is in the database with the change: it is told also when the process dies right behind it."""
    ada = await accounts.user("ada")
    assert accounts.bus.audit.waiting == 0
    async with open_accounts(accounts.database.url) as other:
        assert [row.object_id for row in await settle(other)] == [ada.id]


async def test_what_is_refused_is_told_with_its_reason(accounts: Accounts) -> None:
    await accounts.user("ada")
    wrong = LogIn(login="ada", password="not the password")
    await accounts.refusal(subjects.ACCOUNTS_LOG_IN, wrong)
    (row,) = [row for row in await settle(accounts) if row.action == Action.SESSION_OPENED]
    assert (row.outcome, row.actor_kind, row.actor_id) == (Outcome.REFUSED, "unknown", "")
    assert row.details == '{"code":"unauthenticated"}'


async def test_a_refresh_token_that_is_used_twice_is_told_with_its_session(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    first = await accounts.log_in("ada")
    second = await accounts.refresh(first.refresh_token)
    await accounts.refresh(second.refresh_token)
    await accounts.refresh_refusal(first.refresh_token)
    rows = {row.action: row for row in await settle(accounts)}
    reused = rows[Action.REFRESH_TOKEN_REUSED]
    assert (reused.object_id, reused.actor_id, reused.actor_kind) == (first.session_id, ada.id, "unknown")
    assert rows[Action.SESSION_REFRESHED].outcome == Outcome.REFUSED


async def test_no_row_holds_what_people_wrote(accounts: Accounts) -> None:
    ada = await accounts.user("ada", display_name="Ada with the planted name")
    tokens: SessionTokens = await accounts.log_in("ada", client="planted user agent")
    await accounts.ask(
        subjects.ACCOUNTS_CREATE_KEY, CreateKey(**as_user(ada), name="planted key name"), KeyCreated
    )
    await accounts.refusal(
        subjects.ACCOUNTS_LOG_IN, LogIn(login="planted login", password="planted password")
    )
    kept = repr(await settle(accounts)) + repr(await stored(accounts.bus))
    assert "planted" not in kept
    assert PASSWORD not in kept
    assert tokens.refresh_token not in kept
    assert tokens.access_token not in kept
    assert ada.id in kept


async def stored(bus: MemoryBus) -> list[bytes]:
    found = await bus.last_stored(stream_names.AUDIT, subjects.audit_events("accounts"))
    return [found.data] if found else []


# -- anchors ------------------------------------------------------------------------------------------


def anchors_in(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(audit_anchors)).scalar_one()


async def last_on_the_bus(accounts: Accounts) -> AuditAnchored:
    found = await accounts.bus.last_stored(stream_names.AUDIT, subjects.AUDIT_ANCHORED)
    assert found is not None
    return AuditAnchored.model_validate_json(found.data)


async def test_the_head_is_signed_stored_and_published(accounts: Accounts) -> None:
    await fill(accounts, 3)
    anchors, keys = accounts.parts.audit.anchors, accounts.parts.audit.keys
    await anchors.anchor()
    head = await accounts.database.read(head_of)
    told = await last_on_the_bus(accounts)
    assert (told.seq, told.hash) == (head.seq, head.hash)
    assert is_signed(told, keys.installation, keys.public)
    assert not is_signed(told, "another installation", keys.public)
    assert not is_signed(told.model_copy(update={"seq": 2}), keys.installation, keys.public)
    await anchors.anchor()
    assert await accounts.database.read(anchors_in) == 1


async def test_another_process_signs_by_the_same_key(accounts: Accounts, url: URL) -> None:
    async with open_accounts(url) as other:
        assert other.parts.audit.keys.published == accounts.parts.audit.keys.published


REWRITTEN = {
    "the end is cut": (
        "DELETE FROM accounts_audit_log WHERE seq > 3",
        "UPDATE accounts_audit_head SET seq = 3, hash = (SELECT hash FROM accounts_audit_log WHERE seq = 3)",
    ),
    "everything is removed": (
        "DELETE FROM accounts_audit_log",
        f"UPDATE accounts_audit_head SET seq = 0, hash = '{FIRST_PREV_HASH}'",
    ),
    "the signed row has another hash": (f"UPDATE accounts_audit_log SET hash = '{'e' * 64}' WHERE seq = 5",),
}


@pytest.mark.parametrize("restarts", [False, True], ids=["the same process", "after a restart"])
@pytest.mark.parametrize("name", REWRITTEN)
async def test_what_was_written_anew_is_not_signed(
    accounts: Accounts, url: URL, name: str, restarts: bool
) -> None:
    await fill(accounts, 5)
    await accounts.parts.audit.anchors.anchor()
    before = await last_on_the_bus(accounts)

    def rewrite(connection: Connection) -> None:
        tamper(connection, *REWRITTEN[name], "DELETE FROM accounts_audit_anchors")

    await accounts.database.write(rewrite)
    anchors = accounts.parts.audit.anchors
    if restarts:
        async with open_accounts(url, bus=accounts.bus) as other:
            anchors = other.parts.audit.anchors
            await fill(other, 1)
            await anchors.anchor()
            assert await last_on_the_bus(other) == before
    else:
        await anchors.anchor()
        assert await last_on_the_bus(accounts) == before
    assert anchors.broken is not None
    assert anchors.broken.fault in {ChainFault.CUT, ChainFault.NOT_ANCHORED, ChainFault.UNLINKED}
