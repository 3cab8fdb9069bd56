"""Who may enter gets in, and whoever may not learns nothing by trying."""

import asyncio
import threading
from typing import Any

import argon2
import pytest
from parley_accounts.api_keys import ApiKeys
from parley_accounts.notices.refused_logins import TOLD_FROM
from parley_accounts.tables import users
from parley_contracts import subjects
from parley_contracts.accounts import (
    LOCAL_OWNER,
    ChangePassword,
    ChangeUser,
    LogIn,
    LogInWithKey,
    User,
    UserState,
)
from parley_contracts.credentials import (
    CheckKey,
    CheckSession,
    CreateKey,
    KeyCreated,
    KnownPrincipal,
    RevokedKind,
    RevokeKey,
)
from parley_contracts.errors import ErrorCode
from parley_contracts.notices import NoticeKind
from parley_contracts.policy import Permission, Role
from parley_contracts.replies import Done
from sqlalchemy import URL, select

from tests.unit.accounts.accounts_rig import (
    OWNER,
    OWNER_KEY,
    PASSWORD,
    Accounts,
    as_user,
    open_accounts,
)
from tests.unit.accounts.notices_rig import notices_of

LOG_IN = subjects.ACCOUNTS_LOG_IN


async def stored_hash(accounts: Accounts, user_id: str) -> str:
    query = select(users.c.password_hash).filter_by(id=user_id)
    return await accounts.database.read(lambda connection: connection.execute(query).scalar_one())


async def test_a_user_logs_in_by_name_or_address_in_any_spelling(accounts: Accounts) -> None:
    ada = await accounts.user("Ada", email="Ada@Example.ORG")
    for login in ("ada", "ADA", " ada ", "ada@example.org", "ADA@example.org", "\uff21da"):
        tokens = await accounts.log_in(login)
        assert tokens.user.id == ada.id

    claims = await accounts.claims(tokens)
    assert (claims.sub, claims.role) == (ada.id, Role.MEMBER)
    assert claims.sid == tokens.session_id
    assert claims.exp - claims.iat == 600
    assert claims.nbf == claims.iat


async def test_the_last_login_is_noted(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    assert ada.last_login_at_ms is None
    await accounts.log_in("ada")
    again = await accounts.log_in("ada")
    assert again.user.last_login_at_ms is not None
    assert again.user.last_login_at_ms >= ada.created_at_ms


async def test_a_password_typed_on_another_keyboard_is_the_same(accounts: Accounts) -> None:
    request = ChangePassword(**OWNER, new_password="cafe\u0301 au lait")
    await accounts.ask(subjects.ACCOUNTS_CHANGE_PASSWORD, request, Done)
    assert await accounts.log_in("owner", "caf\u00e9 au lait")


async def test_every_refusal_is_the_same_and_costs_one_hash_of_the_same_kind(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await accounts.user("ada")
    gone = await accounts.user("gone")
    disable = ChangeUser(**OWNER, user_id=gone.id, state=UserState.DISABLED)
    await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, disable, User)
    verified: list[argon2.Parameters] = []
    real = argon2.PasswordHasher.verify

    def verify(hasher: argon2.PasswordHasher, stored: str, password: Any) -> bool:
        verified.append(argon2.extract_parameters(stored))
        return real(hasher, stored, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", verify)
    told = {
        await accounts.told(LOG_IN, LogIn(login=login, password=password))
        for login, password in (
            ("ada", "wrong password"),
            ("nobody", PASSWORD),
            ("nobody@example.org", PASSWORD),
            ("gone", PASSWORD),
            (LOCAL_OWNER, PASSWORD),
            ("owner", "x"),
            ("' OR 1=1 --", PASSWORD),
        )
    }
    assert {one.code for one in told} == {ErrorCode.UNAUTHENTICATED}
    assert len(told) == 1
    assert len(verified) == 7
    assert len(set(map(repr, verified))) == 1


async def test_a_hash_with_old_parameters_is_made_anew_at_the_next_login(url: URL) -> None:
    async with open_accounts(url) as accounts:
        ada = await accounts.user("ada")
        old = await stored_hash(accounts, ada.id)
    async with open_accounts(url, accounts_hash_passes=2) as accounts:
        assert await accounts.refusal_code(LOG_IN, LogIn(login="ada", password="wrong")) is not None
        assert await stored_hash(accounts, ada.id) == old
        await accounts.log_in("ada")
        new = await stored_hash(accounts, ada.id)
        assert argon2.extract_parameters(new).time_cost == 2
        await accounts.log_in("ada")
        assert await stored_hash(accounts, ada.id) == new


async def test_a_flood_of_logins_is_refused_and_not_queued(url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    may_end = threading.Event()
    real = argon2.PasswordHasher.verify

    def verify(hasher: argon2.PasswordHasher, stored: str, password: Any) -> bool:
        assert may_end.wait(20)
        return real(hasher, stored, password)

    async with open_accounts(url, accounts_hashes_at_once=1, accounts_hashes_waiting=2) as accounts:
        await accounts.user("ada")
        monkeypatch.setattr(argon2.PasswordHasher, "verify", verify)
        request = LogIn(login="ada", password=PASSWORD)
        logins = [asyncio.create_task(accounts.parts.entrance.log_in(request)) for _ in range(40)]
        async with asyncio.timeout(20):
            while len(left := [login for login in logins if not login.done()]) > 3:
                await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        refused = [login.exception() for login in logins if login.done()]
        may_end.set()
        await asyncio.wait(logins)

        assert {getattr(one, "code", one) for one in refused} == {ErrorCode.OVERLOADED}
        assert len(refused) == 37
        assert [login.exception() for login in logins].count(None) == 3
        assert await accounts.log_in("ada")


async def test_the_local_owner_has_no_password_and_enters_by_his_key(accounts: Accounts) -> None:
    tokens = await accounts.log_in_with_key()

    assert (tokens.user.id, tokens.user.role) == (LOCAL_OWNER, Role.OWNER)
    assert not tokens.user.has_password
    assert (await accounts.claims(tokens)).sub == LOCAL_OWNER
    for password in ("x", "owner", OWNER_KEY):
        refused = await accounts.refusal_code(LOG_IN, LogIn(login="owner", password=password))
        assert refused is ErrorCode.UNAUTHENTICATED


async def test_without_the_file_of_a_key_nobody_enters_as_owner(url: URL) -> None:
    async with open_accounts(url, owner_key=None) as accounts:
        for key in ("pk_", "x", OWNER_KEY, "pk-owner-x"):
            refused = await accounts.refusal_code(subjects.ACCOUNTS_LOG_IN_WITH_KEY, LogInWithKey(key=key))
            assert refused is ErrorCode.UNAUTHENTICATED


async def test_an_owner_key_that_was_replaced_is_refused_and_its_sessions_end(url: URL) -> None:
    async with open_accounts(url) as accounts:
        tokens = await accounts.log_in_with_key()
    async with open_accounts(url, owner_key="pk_new") as accounts:
        told = await accounts.revocations()
        assert told == [(RevokedKind.SESSION, tokens.session_id), (RevokedKind.KEY, "owner")]
        assert (await accounts.refresh_refusal(tokens.refresh_token)).code is ErrorCode.UNAUTHENTICATED
        old = await accounts.refusal_code(subjects.ACCOUNTS_LOG_IN_WITH_KEY, LogInWithKey(key=OWNER_KEY))
        assert old is ErrorCode.UNAUTHENTICATED
        assert (await accounts.log_in_with_key("pk_new")).user.id == LOCAL_OWNER


async def test_a_second_start_changes_nothing(url: URL) -> None:
    async with open_accounts(url) as accounts:
        tokens, keys = await accounts.log_in_with_key(), await accounts.published()
    async with open_accounts(url) as accounts:
        assert await accounts.published() == keys
        assert (await accounts.claims(tokens)).sid == tokens.session_id
        assert await accounts.refresh(tokens.refresh_token)
        assert await accounts.revocations() == []


async def test_a_session_opened_by_a_key_ends_with_the_key(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    made = await accounts.ask(
        subjects.ACCOUNTS_CREATE_KEY, CreateKey(**as_user(ada), name="laptop"), KeyCreated
    )
    by_key, by_password = await accounts.log_in_with_key(made.key), await accounts.log_in("ada")
    revoke = RevokeKey(**as_user(ada), key_id=made.described.id)
    await accounts.ask(subjects.ACCOUNTS_REVOKE_KEY, revoke, Done)

    assert (await accounts.refresh_refusal(by_key.refresh_token)).code is ErrorCode.UNAUTHENTICATED
    assert await accounts.refresh(by_password.refresh_token)
    assert await accounts.revocations() == [
        (RevokedKind.SESSION, by_key.session_id),
        (RevokedKind.KEY, made.described.id),
    ]


async def make_expiring_key(accounts: Accounts, after_s: float) -> KeyCreated:
    request = CreateKey(**OWNER, name="short", expires_at_ms=accounts.clock() + round(after_s * 1000))
    return await accounts.ask(subjects.ACCOUNTS_CREATE_KEY, request, KeyCreated)


async def test_a_session_opened_by_a_key_lasts_no_longer_than_the_key(accounts: Accounts) -> None:
    made = await make_expiring_key(accounts, 300)
    tokens = await accounts.log_in_with_key(made.key)
    until_ms = made.described.expires_at_ms
    assert (tokens.refresh_expires_at_ms, tokens.access_expires_at_ms) == (until_ms, until_ms)
    assert (await accounts.claims(tokens)).exp * 1000 == until_ms
    tokens = await accounts.refresh(tokens.refresh_token)
    check = CheckSession(session_id=tokens.session_id)
    assert await accounts.ask(subjects.ACCOUNTS_CHECK_SESSION, check, KnownPrincipal)

    accounts.clock.advance(300)
    assert (await accounts.refresh_refusal(tokens.refresh_token)).code is ErrorCode.UNAUTHENTICATED
    code = await accounts.refusal_code(subjects.ACCOUNTS_CHECK_SESSION, check)
    assert code is ErrorCode.UNAUTHENTICATED


async def test_a_key_that_expires_while_it_is_looked_at_opens_no_session(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, check = await make_expiring_key(accounts, 300), ApiKeys.check

    async def check_slowly(keys: ApiKeys, request: CheckKey) -> KnownPrincipal:
        found = await check(keys, request)
        accounts.clock.advance(300)
        return found

    monkeypatch.setattr(ApiKeys, "check", check_slowly)
    refused = await accounts.refusal(subjects.ACCOUNTS_LOG_IN_WITH_KEY, LogInWithKey(key=made.key))
    assert (refused.code, refused.message) == (ErrorCode.UNAUTHENTICATED, "The API key is not valid.")


async def test_a_key_with_scopes_opens_no_session(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    request = CreateKey(**as_user(ada), name="ci", key_scopes=(Permission.TURNS_WRITE,))
    made = await accounts.ask(subjects.ACCOUNTS_CREATE_KEY, request, KeyCreated)
    refused = await accounts.refusal_code(subjects.ACCOUNTS_LOG_IN_WITH_KEY, LogInWithKey(key=made.key))
    assert refused is ErrorCode.FORBIDDEN


async def test_a_new_password_takes_the_old_one_and_ends_the_other_sessions(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    here, there = await accounts.log_in("ada"), await accounts.log_in("ada")
    request = ChangePassword(
        **as_user(ada), current_password=PASSWORD, new_password="another one", session_id=here.session_id
    )
    wrong = request.model_copy(update={"current_password": "a wrong one"})
    none = request.model_copy(update={"current_password": None})
    for refused in (wrong, none):
        code = await accounts.refusal_code(subjects.ACCOUNTS_CHANGE_PASSWORD, refused)
        assert code is ErrorCode.UNAUTHENTICATED
    await accounts.ask(subjects.ACCOUNTS_CHANGE_PASSWORD, request, Done)

    assert await accounts.revocations() == [(RevokedKind.SESSION, there.session_id)]
    assert await accounts.refresh(here.refresh_token)
    assert (await accounts.refresh_refusal(there.refresh_token)).code is ErrorCode.UNAUTHENTICATED
    assert await accounts.log_in("ada", "another one")
    assert await accounts.refusal_code(LOG_IN, LogIn(login="ada", password=PASSWORD))


async def test_whose_password_is_guessed_by_a_session_of_his_is_told_so(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    for number in range(TOLD_FROM):
        request = ChangePassword(
            **as_user(ada), current_password=f"guess {number}", new_password="another one"
        )
        assert await accounts.refusal_code(subjects.ACCOUNTS_CHANGE_PASSWORD, request)
    await accounts.parts.notices.refused.write()
    [notice] = await notices_of(accounts, ada)
    assert (notice.kind, notice.count) == (NoticeKind.LOGIN_REFUSED, TOLD_FROM)


async def test_a_key_with_scopes_sets_no_password_to_come_in_by_without_them(accounts: Accounts) -> None:
    owner: dict[str, Any] = {**OWNER, "scopes": (Permission.ACCOUNT_WRITE,)}
    request = ChangePassword(**owner, new_password="another one")
    refused = await accounts.refusal_code(subjects.ACCOUNTS_CHANGE_PASSWORD, request)
    assert refused is ErrorCode.FORBIDDEN
    assert await accounts.refusal_code(LOG_IN, LogIn(login="owner", password="another one"))


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "ada@example.org",
        "ADA@example.org",
        "aaaaaaaaaaaa",
        "1234567890",
        "qwertyuiop",
        "Password12",
        "2024 Welcome!!",
        "abcdefghijkl",
    ],
)
async def test_a_password_that_is_easily_guessed_is_refused(accounts: Accounts, password: str) -> None:
    ada = await accounts.user("ada", email="ada@example.org")
    request = ChangePassword(**as_user(ada), current_password=PASSWORD, new_password=password)
    refused = await accounts.refusal(subjects.ACCOUNTS_CHANGE_PASSWORD, request)
    assert (refused.code, refused.field) == (ErrorCode.INVALID_REQUEST, "password")
    assert password not in refused.message


async def test_logins_are_counted(accounts: Accounts) -> None:
    await accounts.log_in_with_key()
    await accounts.refusal(LOG_IN, LogIn(login="owner", password="x"))
    for result in ("let_in", "refused"):
        value = accounts.registry.get_sample_value("parley_accounts_logins_total", {"result": result})
        assert value == 1
