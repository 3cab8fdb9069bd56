"""Data keys are made once, told sealed, replaced by command, and sealed anew with the key-encryption key."""

import asyncio
from pathlib import Path

import pytest
from parley_accounts.data_keys import purpose_of
from parley_accounts.kek_file import read_or_make_key
from parley_accounts.key_ring import KeyRing
from parley_accounts.tables import data_keys
from parley_contracts import subjects
from parley_contracts.data_keys import DataKeyRotation, ReadDataKey, RotateDataKey, ToldDataKey
from parley_contracts.errors import ErrorCode
from parley_contracts.policy import Role
from parley_contracts.provider_keys import KekRotation, RotateKek
from parley_envelope import DataKey, DataKeys
from parley_envelope.envelope import Envelope, key_name
from parley_envelope.key_delivery import KeyQuestion
from sqlalchemy import URL, select

from tests.unit.accounts.accounts_rig import KEK, OWNER, Accounts, as_user, open_accounts


async def told(accounts: Accounts, key_id: str | None = None) -> DataKey:
    question = KeyQuestion()
    request = ReadDataKey(public_key=question.public_key, key_id=key_id)
    return question.open(await accounts.ask(subjects.ACCOUNTS_READ_DATA_KEY, request, ToldDataKey))


async def rotated(accounts: Accounts) -> DataKeyRotation:
    return await accounts.ask(subjects.ACCOUNTS_ROTATE_DATA_KEY, RotateDataKey(**OWNER), DataKeyRotation)


async def rows_of(accounts: Accounts) -> list[tuple[str, str]]:
    query = select(data_keys).order_by(data_keys.c.created_at_ms)
    rows = await accounts.database.read(lambda connection: connection.execute(query).all())
    assert all((row.retired_at_ms is None) == (row.seals_for is not None) for row in rows)
    return [(row.id, row.sealed_key) for row in rows]


async def test_one_key_is_made_at_the_first_start_also_by_two_at_once(url: URL) -> None:
    async with open_accounts(url) as one, open_accounts(url) as other:
        assert await told(one) == await told(other)
        assert len(await rows_of(one)) == 1
    async with open_accounts(url) as again:
        assert await told(again) == await told(again, (await rows_of(again))[0][0])


async def test_a_new_key_seals_and_the_old_one_is_told_on(accounts: Accounts) -> None:
    old = await told(accounts)
    done = await rotated(accounts)
    new = await told(accounts)
    assert (new.id, done.keys) == (done.key_id, 2)
    assert new.secret != old.secret
    assert await told(accounts, old.id) == old


async def test_rotations_at_once_leave_one_key_that_seals(url: URL) -> None:
    async with open_accounts(url) as one, open_accounts(url) as other:
        await asyncio.gather(*(rotated(accounts) for accounts in (one, other) * 3))
        assert await told(one) == await told(other)
        # Those that overlap may have made one key together.
        assert 2 <= len(await rows_of(one)) <= 7


async def test_the_database_holds_keys_sealed_for_their_row_alone(accounts: Accounts) -> None:
    await rotated(accounts)
    query = select(data_keys)
    first, second = await accounts.database.read(lambda connection: connection.execute(query).all())
    envelope = Envelope(KEK)
    assert (
        envelope.open(first.sealed_key, purpose=purpose_of(first)) == (await told(accounts, first.id)).secret
    )
    with pytest.raises(ValueError, match="changed"):
        envelope.open(first.sealed_key, purpose=purpose_of(second))


async def test_a_key_that_is_not_there_and_what_is_no_public_key_are_refused(accounts: Accounts) -> None:
    question = KeyQuestion()
    absent = ReadDataKey(public_key=question.public_key, key_id="00" * 8)
    assert await accounts.refusal_code(subjects.ACCOUNTS_READ_DATA_KEY, absent) is ErrorCode.NOT_FOUND
    refused = await accounts.told(subjects.ACCOUNTS_READ_DATA_KEY, ReadDataKey(public_key="A" * 43 + "="))
    assert (refused.code, refused.field) == (ErrorCode.INVALID_REQUEST, "public_key")


async def test_only_who_may_rotate_keys_rotates_data_keys(accounts: Accounts) -> None:
    before = await told(accounts)
    for role in (Role.MEMBER, Role.ADMIN):
        user = await accounts.user(role.value, role=role)
        request = RotateDataKey(**as_user(user))
        assert await accounts.refusal_code(subjects.ACCOUNTS_ROTATE_DATA_KEY, request) is ErrorCode.FORBIDDEN
    assert await told(accounts) == before


async def test_a_rotation_of_the_key_encryption_key_seals_data_keys_anew_and_changes_none(
    url: URL, tmp_path: Path
) -> None:
    folder = tmp_path / "secrets"
    read_or_make_key(folder)
    async with open_accounts(url, ring=KeyRing.in_folder(folder)) as accounts:
        await rotated(accounts)
        ids = [key_id for key_id, _ in await rows_of(accounts)]
        before = [await told(accounts, key_id) for key_id in ids]
        step = await accounts.ask(
            subjects.ACCOUNTS_ROTATE_KEK, RotateKek(**OWNER, begins=True, limit=1), KekRotation
        )
        # In the middle of it, some rows are sealed by either key.
        assert [await told(accounts, key_id) for key_id in ids] == before
        while not step.is_done:
            step = await accounts.ask(subjects.ACCOUNTS_ROTATE_KEK, RotateKek(**OWNER, limit=1), KekRotation)
        assert {key_name(sealed) for _, sealed in await rows_of(accounts)} == {step.key_name}
        assert [await told(accounts, key_id) for key_id in ids] == before


async def test_a_process_is_told_keys_as_it_needs_them(accounts: Accounts) -> None:
    async def ask(request: ReadDataKey) -> ToldDataKey:
        return await accounts.ask(subjects.ACCOUNTS_READ_DATA_KEY, request, ToldDataKey)

    keys = DataKeys(ask)
    old = await keys.current()
    await rotated(accounts)
    assert await keys.find((await told(accounts)).id) != old
    assert await DataKeys(ask).find(old.id) == old
