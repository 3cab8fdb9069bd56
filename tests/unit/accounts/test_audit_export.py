"""An export of the audit proves itself away from Parley, with what is missing at either end of it."""

import json

import pytest
from parley_contracts.audit_requests import AuditExport
from parley_identity.audit_export import ExportVerdict, UnreadableExportError, verify_export
from sqlalchemy import URL

from tests.unit.accounts.accounts_rig import Accounts, open_accounts
from tests.unit.accounts.audit_rig import ANCHORED, HEAD_TO, ROWS, exported, tamper


async def test_an_export_verifies_away_from_parley(filled: Accounts) -> None:
    lines = await exported(filled)
    published = filled.parts.audit.keys.published
    assert published is not None
    key = published.x
    shown = verify_export(lines, trusted_key=key)
    assert (shown.is_whole, shown.reaches_head, shown.rows, shown.anchors) == (True, True, ROWS, 1)
    assert (shown.anchored_seq, shown.key) == (ANCHORED, key)
    with pytest.raises(UnreadableExportError, match="another key"):
        verify_export(lines, trusted_key="A" * 43)


@pytest.mark.parametrize(
    ("after_seq", "limit", "expected"),
    [
        (0, 500, (1, ROWS, True, True)),
        (3, 500, (4, ROWS, False, True)),
        (0, 4, (1, 4, True, False)),
        (2, 4, (3, 6, False, False)),
        (ROWS, 500, (ROWS + 1, ROWS, False, True)),
        (ROWS + 9, 500, (ROWS + 1, ROWS, False, True)),
    ],
    ids=["all", "the last", "the first", "a middle", "none", "behind the end"],
)
async def test_a_part_of_an_export_says_signed_which_part_it_is(
    filled: Accounts, after_seq: int, limit: int, expected: tuple[int, int, bool, bool]
) -> None:
    lines = await exported(filled, after_seq, limit)
    shown = verify_export(lines)
    assert shown.is_whole
    assert (shown.first_seq, shown.last_seq, shown.begins_at_oldest, shown.reaches_head) == expected
    assert shown.rows == expected[1] - expected[0] + 1
    rows = [number for number, line in enumerate(lines) if "prev_hash" in line and "bounds" not in line]
    for lost in {*rows[:1], *rows[-1:]}:
        assert not verify_export([*lines[:lost], *lines[lost + 1 :]]).is_whole
    if rows:
        assert not verify_export([line for number, line in enumerate(lines) if number not in rows]).is_whole


async def test_an_empty_audit_is_exported_whole(accounts: Accounts) -> None:
    shown = verify_export(await exported(accounts))
    assert (shown.is_whole, shown.rows, shown.begins_at_oldest, shown.reaches_head) == (True, 0, True, True)


NOT_SIGNED = {
    "the key is gone": ("no_key", ["DELETE FROM accounts_audit_keys"]),
    "the end is cut": ("cut", ["DELETE FROM accounts_audit_log WHERE seq > 3", HEAD_TO.format(3)]),
    "the signed row is gone": ("not_anchored", [f"DELETE FROM accounts_audit_log WHERE seq = {ANCHORED}"]),
    "another row is in its place": (
        "not_anchored",
        [f"UPDATE accounts_audit_log SET hash = '{'e' * 64}' WHERE seq = {ANCHORED}"],
    ),
}


@pytest.mark.parametrize("name", NOT_SIGNED)
async def test_accounts_does_not_vouch_for_a_chain_that_it_knows_to_be_broken(
    filled: Accounts, url: URL, name: str
) -> None:
    fault, statements = NOT_SIGNED[name]
    removed = (*statements, "DELETE FROM accounts_audit_anchors")
    await filled.database.write(lambda connection: tamper(connection, *removed))
    async with open_accounts(url, bus=filled.bus) as restarted:
        lines = await exported(restarted)
    opened = AuditExport.model_validate_json(lines[0])
    assert (opened.bounds, opened.fault) == (None, fault)
    assert not verify_export(lines).is_whole


def changed_line(line: str, **changed: object) -> str:
    return json.dumps({**json.loads(line), **changed})


async def test_a_changed_export_shows(filled: Accounts) -> None:
    lines = await exported(filled)
    rows = slice(2, 2 + ROWS)

    def show(changed: list[str]) -> ExportVerdict:
        return verify_export(changed)

    assert show([*lines[:4], changed_line(lines[4], actor_id="f" * 32), *lines[5:]]).fault == "changed"
    assert show([*lines[:4], *lines[5:]]).fault == "unlinked"
    assert show([*lines[:3], lines[4], lines[3], *lines[5:]]).fault == "unlinked"
    assert show([lines[0], changed_line(lines[1], hash="e" * 64), *lines[2:]]).fault == "bad_signature"
    assert len(lines[rows]) == ROWS
    with pytest.raises(UnreadableExportError, match="last line"):
        verify_export(lines[:-1])
    with pytest.raises(UnreadableExportError, match="Line 2"):
        verify_export([lines[0], "not JSON", *lines[1:]])
    for empty in ([], ["{}"]):
        with pytest.raises(UnreadableExportError):
            verify_export(empty)
