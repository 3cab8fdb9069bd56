"""Whatever is done to the chain behind accounts' back, verifying shows it, and where; on both databases."""

from typing import Any

import pytest
from parley_accounts.audit_retention import DAY_MS
from parley_accounts.audit_rows import TEXTS
from parley_accounts.tables import audit_anchors, audit_log
from parley_contracts import subjects
from parley_contracts.audit import Action, AnchorKind, AuditRow, Outcome
from parley_contracts.audit_requests import (
    AuditPage,
    AuditVerdict,
    CheckAudit,
    ListAudit,
    OpenAuditExport,
    ReadAuditSegment,
)
from parley_contracts.errors import ErrorCode
from parley_contracts.policy import Role
from parley_identity.audit_chain import FIRST_PREV_HASH, row_hash
from parley_identity.audit_export import verify_export
from sqlalchemy import Connection, delete, select, text, update

from tests.unit.accounts.accounts_rig import OWNER, Accounts, as_user
from tests.unit.accounts.audit_rig import (
    ANCHORED,
    HEAD_TO,
    ROWS,
    exported,
    fill,
    head_of,
    rows_of,
    settle,
    tamper,
    verdict,
)


async def test_what_nobody_has_touched_is_whole(filled: Accounts) -> None:
    found = await verdict(filled)
    assert (found.is_whole, found.rows, found.head_seq, found.anchored_seq) == (True, ROWS, ROWS, ANCHORED)
    assert (found.anchors, found.is_compared, found.next_after_seq) == (1, True, None)


async def test_an_empty_audit_is_whole(accounts: Accounts) -> None:
    found = await verdict(accounts)
    assert (found.is_whole, found.rows) == (True, 0)


async def test_a_verification_goes_on_where_the_last_one_ended(filled: Accounts) -> None:
    after_seq, rows, anchors = 0, 0, 0
    while True:
        found = await verdict(filled, after_seq=after_seq, limit=3)
        rows, anchors = rows + found.rows, anchors + found.anchors
        assert found.is_whole
        if found.next_after_seq is None:
            break
        after_seq = found.next_after_seq
    assert (rows, anchors) == (ROWS, 1)


COLUMNS = ["event_id", "at_ms", "recorded_at_ms", *TEXTS]


@pytest.mark.parametrize("column", COLUMNS)
async def test_a_changed_column_shows(filled: Accounts, column: str) -> None:
    value = "17" if column.endswith("_ms") else "'changed'"
    was = f"(SELECT kept.{column} FROM kept WHERE kept.seq = accounts_audit_log.seq)"

    async def say(*statements: str) -> None:
        await filled.database.write(lambda connection: tamper(connection, *statements))

    async def put(what: str, seq: int) -> None:
        await say(f"UPDATE accounts_audit_log SET {column} = {what} WHERE seq = {seq}")

    await say("DROP TABLE IF EXISTS kept", "CREATE TABLE kept AS SELECT * FROM accounts_audit_log")
    for seq in (1, ANCHORED, ROWS):
        await put(value, seq)
        found = await verdict(filled)
        assert (found.is_whole, found.broken_seq) == (False, seq)
        assert found.fault == {"prev_hash": "unlinked"}.get(column, "changed")
        await put(was, seq)
        assert (await verdict(filled)).is_whole
    await say("DROP TABLE kept")


TAMPERED = {
    "the first row is removed": (1, "unlinked", ["DELETE FROM accounts_audit_log WHERE seq = 1"]),
    "a row in the middle is removed": (4, "unlinked", ["DELETE FROM accounts_audit_log WHERE seq = 4"]),
    "two rows are swapped": (
        2,
        "unlinked",
        [
            "UPDATE accounts_audit_log SET seq = 99 WHERE seq = 2",
            "UPDATE accounts_audit_log SET seq = 2 WHERE seq = 3",
            "UPDATE accounts_audit_log SET seq = 3 WHERE seq = 99",
        ],
    ),
    "the end is cut": (8, "cut", ["DELETE FROM accounts_audit_log WHERE seq = 8"]),
    "the end is cut and the head set back before the anchor": (
        4,
        "cut",
        ["DELETE FROM accounts_audit_log WHERE seq > 3", HEAD_TO.format(3)],
    ),
    "that, and the anchor removed": (
        4,
        "cut",
        [
            "DELETE FROM accounts_audit_log WHERE seq > 3",
            HEAD_TO.format(3),
            "DELETE FROM accounts_audit_anchors",
        ],
    ),
    "everything is removed": (
        1,
        "cut",
        [
            "DELETE FROM accounts_audit_log",
            "DELETE FROM accounts_audit_anchors",
            f"UPDATE accounts_audit_head SET seq = 0, hash = '{FIRST_PREV_HASH}'",
        ],
    ),
    "the head is set back and rows are left": (9, "cut", [HEAD_TO.format(7).replace("SET", "SET")]),
    "an anchor is changed": (5, "bad_signature", [f"UPDATE accounts_audit_anchors SET hash = '{'e' * 64}'"]),
    "an anchor is moved": (6, "bad_signature", ["UPDATE accounts_audit_anchors SET seq = 6"]),
    "an anchor is by another key": (5, "bad_signature", ["UPDATE accounts_audit_anchors SET kid = 'other'"]),
}


@pytest.mark.parametrize("name", TAMPERED)
async def test_what_was_done_to_the_chain_shows(filled: Accounts, name: str) -> None:
    seq, fault, statements = TAMPERED[name]
    await filled.database.write(lambda connection: tamper(connection, *statements))
    found = await verdict(filled)
    if name == "the head is set back and rows are left":
        seq = 8
    assert (found.is_whole, found.broken_seq, found.fault) == (False, seq, fault)


def rewrite(connection: Connection, rows: list[AuditRow], from_seq: int) -> None:
    """Change one row and hash all that follow anew, as somebody does who knows how it is done."""
    tamper(connection)
    prev_hash = rows[from_seq - 2].hash if from_seq > 1 else FIRST_PREV_HASH
    for row in rows[from_seq - 1 :]:
        changed = row.model_copy(
            update={"prev_hash": prev_hash, "actor_id": "f" * 32 if row.seq == from_seq else row.actor_id}
        )
        prev_hash = row_hash(prev_hash, changed.model_dump())
        values = {"prev_hash": changed.prev_hash, "hash": prev_hash, "actor_id": changed.actor_id}
        connection.execute(update(audit_log).where(audit_log.c.seq == row.seq).values(**values))
    connection.execute(text(f"UPDATE accounts_audit_head SET hash = '{prev_hash}'"))


@pytest.mark.parametrize("without_anchors", [False, True], ids=["anchors kept", "anchors removed"])
@pytest.mark.parametrize("from_seq", [1, ANCHORED], ids=["from the first", "from the anchored"])
async def test_a_chain_that_was_written_anew_shows(
    filled: Accounts, from_seq: int, without_anchors: bool
) -> None:
    rows = await rows_of(filled.database)

    def work(connection: Connection) -> None:
        rewrite(connection, rows, from_seq)
        if without_anchors:
            connection.execute(delete(audit_anchors))

    await filled.database.write(work)
    found = await verdict(filled)
    assert (found.is_whole, found.broken_seq, found.fault) == (False, ANCHORED, "not_anchored")


async def test_a_verification_by_pages_finds_the_same(filled: Accounts) -> None:
    rows = await rows_of(filled.database)
    await filled.database.write(lambda connection: rewrite(connection, rows, 2))
    first = await verdict(filled, limit=3)
    assert (first.is_whole, first.next_after_seq) == (True, 3)
    second = await verdict(filled, after_seq=3, limit=3)
    assert (second.broken_seq, second.fault, second.next_after_seq) == (ANCHORED, "not_anchored", None)


# -- search and export --------------------------------------------------------------------------------


async def found(accounts: Accounts, **wanted: Any) -> AuditPage:
    return await accounts.ask(subjects.ACCOUNTS_LIST_AUDIT, ListAudit(**OWNER, **wanted), AuditPage)


async def test_rows_are_found_by_what_they_say(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    tokens = await accounts.log_in("ada")
    await settle(accounts)
    assert [row.action for row in (await found(accounts)).rows] == ["session_opened", "user_created"]
    for wanted in (
        {"actor_id": ada.id},
        {"action": "session_opened"},
        {"object_kind": "session"},
        {"object_id": tokens.session_id},
        {"from_ms": 0, "before_ms": 2**53, "outcome": Outcome.DONE, "actor_id": ada.id},
    ):
        assert [row.object_id for row in (await found(accounts, **wanted)).rows] == [tokens.session_id]
    for wanted in (
        {"actor_id": "b" * 32},
        {"before_ms": 1},
        {"outcome": Outcome.REFUSED},
        {"object_id": "x"},
    ):
        assert (await found(accounts, **wanted)).rows == ()


async def test_pages_are_whole_and_in_order(filled: Accounts) -> None:
    seqs: list[int] = []
    before_seq: int | None = None
    while True:
        page = await found(filled, limit=3, before_seq=before_seq)
        seqs += [row.seq for row in page.rows]
        before_seq = page.next_before_seq
        if before_seq is None:
            break
    assert seqs == list(range(ROWS, 0, -1))


@pytest.mark.parametrize("role", [Role.GUEST, Role.MEMBER])
async def test_who_may_not_read_the_audit_reads_nothing_of_it(accounts: Accounts, role: Role) -> None:
    somebody = as_user(await accounts.user("ada", role))
    for subject, request in (
        (subjects.ACCOUNTS_LIST_AUDIT, ListAudit(**somebody)),
        (subjects.ACCOUNTS_OPEN_AUDIT_EXPORT, OpenAuditExport(**somebody)),
        (subjects.ACCOUNTS_READ_AUDIT_SEGMENT, ReadAuditSegment(**somebody, until_seq=9)),
        (subjects.ACCOUNTS_CHECK_AUDIT, CheckAudit(**somebody)),
    ):
        assert await accounts.refusal_code(subject, request) is ErrorCode.FORBIDDEN


async def test_an_admin_may(accounts: Accounts) -> None:
    admin = as_user(await accounts.user("ada", Role.ADMIN))
    assert (await accounts.ask(subjects.ACCOUNTS_CHECK_AUDIT, CheckAudit(**admin), AuditVerdict)).is_whole


# -- retention ----------------------------------------------------------------------------------------

YEAR_S = 366 * DAY_MS / 1000


async def old_and_new(accounts: Accounts) -> None:
    """Have some rows that are more than a year old, and one that is not."""
    await fill(accounts, 6)
    await accounts.parts.audit.anchors.anchor()
    accounts.clock.advance(YEAR_S)
    await fill(accounts, 2)


async def test_rows_whose_time_is_over_go_and_the_rest_verifies(accounts: Accounts) -> None:
    await old_and_new(accounts)
    assert await accounts.parts.audit.retention.sweep() == 6
    rows = await rows_of(accounts.database)
    assert [row.seq for row in rows] == [7, 8, 9]
    assert (rows[-1].action, rows[-1].details) == (Action.ROWS_REMOVED, '{"count":6}')
    shown = await verdict(accounts)
    assert (shown.is_whole, shown.rows, shown.head_seq) == (True, 3, 9)
    assert (await accounts.database.read(head_of)).removable_seq == 0
    assert verify_export(await exported(accounts)).is_whole
    await accounts.parts.audit.anchors.anchor()
    assert accounts.parts.audit.anchors.broken is None
    assert (await verdict(accounts)).anchored_seq == 9
    assert await accounts.parts.audit.retention.sweep() == 0


async def test_retention_goes_on_from_its_own_checkpoint(accounts: Accounts) -> None:
    await old_and_new(accounts)
    await accounts.parts.audit.retention.sweep()
    accounts.clock.advance(YEAR_S)
    await fill(accounts, 1)
    assert await accounts.parts.audit.retention.sweep() == 3
    shown = await verdict(accounts)
    assert (shown.is_whole, shown.head_seq) == (True, 11)


async def test_young_rows_stay(accounts: Accounts) -> None:
    await fill(accounts, 3)
    assert await accounts.parts.audit.retention.sweep() == 0
    assert len(await rows_of(accounts.database)) == 3


async def test_what_does_not_verify_is_not_removed(accounts: Accounts) -> None:
    await old_and_new(accounts)
    changed = "UPDATE accounts_audit_log SET actor_id = 'changed' WHERE seq = 2"
    await accounts.database.write(lambda connection: tamper(connection, changed))
    assert await accounts.parts.audit.retention.sweep() == 0
    assert accounts.parts.audit.retention.broken is not None
    assert len(await rows_of(accounts.database)) == 8


async def test_a_checkpoint_that_accounts_did_not_sign_shows(accounts: Accounts) -> None:
    """Who removes rows and says that their time was over needs the key for that."""
    await old_and_new(accounts)
    rows = await rows_of(accounts.database)

    def forge(connection: Connection) -> None:
        tamper(connection, "DELETE FROM accounts_audit_log WHERE seq <= 3")
        anchor = connection.execute(select(audit_anchors)).mappings().one()
        forged = {**anchor, "kind": AnchorKind.CHECKPOINT.value, "seq": 3, "hash": rows[2].hash}
        connection.execute(audit_anchors.insert().values(**forged))

    await accounts.database.write(forge)
    shown = await verdict(accounts)
    assert (shown.is_whole, shown.broken_seq, shown.fault) == (False, 4, "bad_signature")


async def test_what_stands_behind_a_forged_checkpoint_is_not_signed(filled: Accounts) -> None:
    """Who writes the chain anew and puts a checkpoint at its end has it signed by nobody."""
    rows = await rows_of(filled.database)

    def forge(connection: Connection) -> None:
        rewrite(connection, rows, 2)
        anchor = connection.execute(select(audit_anchors)).mappings().one()
        connection.execute(delete(audit_anchors))
        head = connection.execute(text("SELECT hash FROM accounts_audit_head")).scalar_one()
        forged = {**anchor, "kind": AnchorKind.CHECKPOINT.value, "seq": ROWS, "hash": head}
        connection.execute(audit_anchors.insert().values(**forged))

    await filled.database.write(forge)
    await fill(filled, 1)
    await filled.parts.audit.anchors.anchor()
    await filled.database.write(lambda connection: connection.execute(delete(audit_anchors)))
    shown = await verdict(filled)
    assert (shown.is_whole, shown.broken_seq, shown.fault) == (False, ANCHORED, "not_anchored")
