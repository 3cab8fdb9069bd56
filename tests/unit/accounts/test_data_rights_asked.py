"""Who may have himself or others erased, by what proof, and what is so at once."""

from typing import Any

import pytest
from parley_contracts import subjects
from parley_contracts.accounts import LOCAL_OWNER, ChangeUser, SessionTokens, User, UserState
from parley_contracts.credentials import CheckKey, CreateKey, KeyCreated, RevokedKind
from parley_contracts.data_rights import (
    CreateErasure,
    DataJob,
    DataJobState,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Role

from tests.unit.accounts.accounts_rig import OWNER, Accounts, as_user
from tests.unit.accounts.data_jobs_steps import ask_erasure


async def test_ones_own_erasure_wants_the_password_or_a_fresh_login(accounts: Accounts) -> None:
    user = await accounts.user("ada")
    session = await accounts.log_in("ada")
    proofs: tuple[dict[str, Any], ...] = (
        {"password": None},
        {"password": "wrong", "session_id": session.session_id},
        {"password": None, "session_id": "never-was"},
    )
    for fields in proofs:
        request = CreateErasure(**as_user(user), **fields)
        told = await accounts.told(subjects.ACCOUNTS_CREATE_ERASURE, request)
        assert (told.code, told.field) == (ErrorCode.UNAUTHENTICATED, "password")
    accounts.clock.advance(601)
    stale = CreateErasure(**as_user(user), session_id=session.session_id)
    assert await accounts.refusal_code(subjects.ACCOUNTS_CREATE_ERASURE, stale) is ErrorCode.UNAUTHENTICATED
    fresh: SessionTokens = await accounts.log_in("ada")
    job = await ask_erasure(accounts, user, password=None, session_id=fresh.session_id)
    assert job.state is DataJobState.WAITING


async def test_a_session_that_a_key_has_opened_proves_nothing(accounts: Accounts) -> None:
    user = await accounts.user("ada")
    made = await accounts.ask(subjects.ACCOUNTS_CREATE_KEY, CreateKey(**as_user(user), name="k"), KeyCreated)
    session = await accounts.log_in_with_key(made.key)
    request = CreateErasure(**as_user(user), session_id=session.session_id)
    assert await accounts.refusal_code(subjects.ACCOUNTS_CREATE_ERASURE, request) is ErrorCode.UNAUTHENTICATED


async def test_somebody_elses_session_proves_nothing(accounts: Accounts) -> None:
    user, _ = await accounts.user("ada"), await accounts.user("bob")
    session = await accounts.log_in("bob")
    request = CreateErasure(**as_user(user), session_id=session.session_id)
    assert await accounts.refusal_code(subjects.ACCOUNTS_CREATE_ERASURE, request) is ErrorCode.UNAUTHENTICATED


async def test_higher_roles_oneself_and_the_last_owner_are_not_erased_by_an_admin(accounts: Accounts) -> None:
    admin, owner = await accounts.user("ann", Role.ADMIN), await accounts.user("olga", Role.OWNER)
    peer, member = await accounts.user("art", Role.ADMIN), await accounts.user("mia")
    codes = {
        user.name: await accounts.refusal_code(
            subjects.ACCOUNTS_CREATE_ERASURE, CreateErasure(**as_user(admin), user_id=user.id)
        )
        for user in (owner, peer, admin)
    }
    assert codes == dict.fromkeys(("olga", "art", "ann"), ErrorCode.FORBIDDEN)
    of_member = CreateErasure(**as_user(member), user_id=peer.id)
    assert await accounts.refusal_code(subjects.ACCOUNTS_CREATE_ERASURE, of_member) is ErrorCode.NOT_FOUND
    local = CreateErasure(**as_user(owner), user_id=LOCAL_OWNER)
    assert await accounts.refusal_code(subjects.ACCOUNTS_CREATE_ERASURE, local) is ErrorCode.FORBIDDEN
    change = ChangeUser(**as_user(owner), user_id=LOCAL_OWNER, state=UserState.DISABLED)
    await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, change, User)
    with pytest.raises(ParleyError) as refused:
        await ask_erasure(accounts, owner)
    assert refused.value.code is ErrorCode.CONFLICT
    taken = CreateErasure(**as_user(admin), user_id=member.id)
    assert (await accounts.ask(subjects.ACCOUNTS_CREATE_ERASURE, taken, DataJob)).asked_by == admin.id


async def test_who_is_to_be_erased_is_out_at_once_and_does_not_come_back(accounts: Accounts) -> None:
    user = await accounts.user("ada")
    made = await accounts.ask(subjects.ACCOUNTS_CREATE_KEY, CreateKey(**as_user(user), name="k"), KeyCreated)
    session = await accounts.log_in("ada")
    await ask_erasure(accounts, user)
    assert (await accounts.refresh_refusal(session.refresh_token)).code is ErrorCode.UNAUTHENTICATED
    check = CheckKey(key=made.key)
    assert await accounts.refusal_code(subjects.ACCOUNTS_CHECK_KEY, check) is ErrorCode.UNAUTHENTICATED
    with pytest.raises(ParleyError):
        await accounts.log_in("ada")
    assert {(RevokedKind.USER, user.id), (RevokedKind.KEY, made.described.id)} <= {
        *await accounts.revocations()
    }
    enable = ChangeUser(**OWNER, user_id=user.id, state=UserState.ACTIVE)
    assert await accounts.refusal_code(subjects.ACCOUNTS_CHANGE_USER, enable) is ErrorCode.CONFLICT
