"""API keys: told once, checked by their hash, limited, expiring and revoked."""

import asyncio
import re
from typing import Any

import pytest
from parley_accounts.api_keys import MAX_KEYS
from parley_accounts.tables import api_keys
from parley_contracts import subjects
from parley_contracts.accounts import LOCAL_OWNER, ChangeUser, User, UserState
from parley_contracts.credentials import (
    CheckKey,
    CreateKey,
    KeyCreated,
    KeyList,
    KnownPrincipal,
    ListKeys,
    RevokedKind,
    RevokeKey,
)
from parley_contracts.errors import ErrorCode
from parley_contracts.policy import Permission, Role
from parley_contracts.replies import Done
from sqlalchemy import Connection, event, select

from tests.unit.accounts.accounts_rig import OWNER, OWNER_KEY, Accounts, as_user

CREATE, CHECK = subjects.ACCOUNTS_CREATE_KEY, subjects.ACCOUNTS_CHECK_KEY


async def make(accounts: Accounts, user: User, **fields: Any) -> KeyCreated:
    return await accounts.ask(CREATE, CreateKey(**as_user(user), name="laptop", **fields), KeyCreated)


async def check(accounts: Accounts, key: str) -> KnownPrincipal:
    return await accounts.ask(CHECK, CheckKey(key=key), KnownPrincipal)


async def listed(accounts: Accounts, user: User) -> KeyList:
    return await accounts.ask(subjects.ACCOUNTS_LIST_KEYS, ListKeys(**as_user(user)), KeyList)


async def test_a_key_stands_for_its_user_and_is_told_once(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    made = await make(accounts, ada, key_scopes=(Permission.TURNS_WRITE, Permission.MODELS_READ))
    found = await check(accounts, made.key)

    assert re.fullmatch(r"pk-[0-9a-f]{16}-[A-Za-z0-9_-]{43}", made.key)
    assert (found.user_id, found.role) == (ada.id, Role.MEMBER)
    assert found.key_id == made.described.id
    assert set(found.scopes or ()) == {Permission.TURNS_WRITE, Permission.MODELS_READ}
    assert made.key not in repr(made)
    assert made.key.split("-", 2)[2] not in (await listed(accounts, ada)).model_dump_json()


async def test_the_first_key_is_the_owners(accounts: Accounts) -> None:
    found = await check(accounts, OWNER_KEY)
    assert (found.user_id, found.role) == (LOCAL_OWNER, Role.OWNER)
    assert found.scopes is None


async def test_every_key_that_is_not_right_is_refused_in_the_same_words(accounts: Accounts) -> None:
    ada, gone = await accounts.user("ada"), await accounts.user("gone")
    made, revoked = await make(accounts, ada), await make(accounts, ada)
    expiring = await make(accounts, ada, expires_at_ms=accounts.clock() + 5_000)
    of_gone = await make(accounts, gone)
    for key in (made, revoked, expiring, of_gone):
        assert await check(accounts, key.key)
    revoke = RevokeKey(**as_user(ada), key_id=revoked.described.id)
    await accounts.ask(subjects.ACCOUNTS_REVOKE_KEY, revoke, Done)
    disable = ChangeUser(**OWNER, user_id=gone.id, state=UserState.DISABLED)
    await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, disable, User)
    accounts.clock.advance(6)

    wrong = (
        revoked.key,
        expiring.key,
        of_gone.key,
        made.key[:-1],
        made.key + "x",
        made.key.upper(),
        f"pk-{made.described.id}-",
        f"pk-{made.described.id}-{revoked.key.split('-', 2)[2]}",
        "pk-nobodys-secret",
        "pk--",
        "x",
        "\x00",
        OWNER_KEY + " ",
    )
    told = {await accounts.told(CHECK, CheckKey(key=key)) for key in wrong}
    assert {one.code for one in told} == {ErrorCode.UNAUTHENTICATED}
    assert len(told) == 1
    assert await check(accounts, made.key)


async def test_a_role_that_is_lost_limits_its_keys(accounts: Accounts) -> None:
    ada = await accounts.user("ada", Role.ADMIN)
    made = await make(accounts, ada)
    demote = ChangeUser(**OWNER, user_id=ada.id, new_role=Role.GUEST)
    await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, demote, User)
    assert (await check(accounts, made.key)).role is Role.GUEST


async def test_a_key_is_never_more_than_who_makes_it(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    few = (Permission.KEYS_WRITE, Permission.TURNS_WRITE)
    beyond = (
        CreateKey(**as_user(ada), name="n", key_scopes=(Permission.USERS_WRITE,)),
        # By a key with scopes: neither all that the role may, nor another scope.
        CreateKey(**as_user(ada, scopes=few), name="n"),
        CreateKey(**as_user(ada, scopes=few), name="n", key_scopes=(Permission.DOCUMENTS_READ,)),
        CreateKey(**as_user(ada, scopes=(Permission.TURNS_WRITE,)), name="n", key_scopes=()),
        # By a token that claims another role than the user has.
        CreateKey(**as_user(ada, role=Role.OWNER), name="n", key_scopes=(Permission.USERS_WRITE,)),
    )
    for request in beyond:
        assert await accounts.refusal_code(CREATE, request) is ErrorCode.FORBIDDEN
    fine = CreateKey(**as_user(ada, scopes=few), name="n", key_scopes=(Permission.TURNS_WRITE,))
    assert await accounts.ask(CREATE, fine, KeyCreated)


async def test_guests_have_no_keys(accounts: Accounts) -> None:
    guest = await accounts.user("guest", Role.GUEST)
    request = CreateKey(**as_user(guest), name="n")
    assert await accounts.refusal_code(CREATE, request) is ErrorCode.FORBIDDEN


async def test_a_key_that_has_expired_before_it_is_made_is_refused(accounts: Accounts) -> None:
    request = CreateKey(**OWNER, name="n", expires_at_ms=accounts.clock() - 1)
    refused = await accounts.refusal(CREATE, request)
    assert (refused.code, refused.field) == (ErrorCode.INVALID_REQUEST, "expires_at_ms")


async def test_use_is_noted_at_most_once_a_minute(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    made = await make(accounts, ada)
    written: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE"):
            written.append(statement)

    def engine_of(connection: Connection) -> Any:
        return connection.engine

    event.listen(await accounts.database.read(engine_of), "before_cursor_execute", note)
    for _ in range(20):
        await check(accounts, made.key)
    first = (await listed(accounts, ada)).keys[0].last_used_at_ms
    assert first is not None
    assert len(written) == 1
    accounts.clock.advance(59)
    await check(accounts, made.key)
    assert (await listed(accounts, ada)).keys[0].last_used_at_ms == first
    assert len(written) == 1
    accounts.clock.advance(2)
    await asyncio.gather(*(check(accounts, made.key) for _ in range(10)))
    second = (await listed(accounts, ada)).keys[0].last_used_at_ms
    assert second is not None
    assert second - first >= 60_000


async def test_another_users_key_is_not_found(accounts: Accounts) -> None:
    ada, bob = await accounts.user("ada"), await accounts.user("bob")
    made = await make(accounts, ada)
    told = {
        await accounts.told(subjects.ACCOUNTS_REVOKE_KEY, RevokeKey(**as_user(bob), key_id=key_id))
        for key_id in (made.described.id, "never-was", "owner")
    }
    assert {one.code for one in told} == {ErrorCode.NOT_FOUND}
    assert len(told) == 1
    hers = ListKeys(**as_user(bob), user_id=ada.id)
    assert await accounts.refusal_code(subjects.ACCOUNTS_LIST_KEYS, hers) is ErrorCode.NOT_FOUND
    assert await check(accounts, made.key)


async def test_an_admin_revokes_the_keys_of_members_and_not_of_owners(accounts: Accounts) -> None:
    ada, admin = await accounts.user("ada"), await accounts.user("admin", Role.ADMIN)
    made = await make(accounts, ada)
    revoke = RevokeKey(**as_user(admin), key_id=made.described.id)
    for _ in range(2):
        await accounts.ask(subjects.ACCOUNTS_REVOKE_KEY, revoke, Done)
    of_owner = RevokeKey(**as_user(admin), key_id="owner")

    assert await accounts.refusal_code(CHECK, CheckKey(key=made.key)) is ErrorCode.UNAUTHENTICATED
    assert (await listed(accounts, ada)).keys == ()
    assert await accounts.refusal_code(subjects.ACCOUNTS_REVOKE_KEY, of_owner) is ErrorCode.FORBIDDEN
    assert await accounts.revocations() == [(RevokedKind.KEY, made.described.id)]


async def test_a_user_has_a_bounded_number_of_keys(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_KEYS == 200
    monkeypatch.setattr("parley_accounts.api_keys.MAX_KEYS", 2)
    ada = await accounts.user("ada")
    made = [await make(accounts, ada) for _ in range(2)]
    request = CreateKey(**as_user(ada), name="one more")
    assert await accounts.refusal_code(CREATE, request) is ErrorCode.CONFLICT
    revoke = RevokeKey(**as_user(ada), key_id=made[0].described.id)
    await accounts.ask(subjects.ACCOUNTS_REVOKE_KEY, revoke, Done)
    assert await make(accounts, ada)


async def test_only_hashes_are_kept(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    made = await make(accounts, ada)
    rows = await accounts.database.read(lambda connection: connection.execute(select(api_keys)).all())
    kept = repr([tuple(row) for row in rows])
    assert made.key.split("-", 2)[2] not in kept
    assert OWNER_KEY not in kept
