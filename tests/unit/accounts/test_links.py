"""A link is good once, for a while, for what it was made for, and only while its maker may make it."""

import asyncio
from typing import Any

import pytest
from parley_contracts import subjects
from parley_contracts.accounts import (
    LOCAL_OWNER,
    AcceptInvitation,
    ChangeUser,
    CreateInvitation,
    CreatePasswordReset,
    InvitationList,
    LinkCreated,
    ListInvitations,
    LogIn,
    ResetPassword,
    RevokeInvitation,
    User,
    UserState,
)
from parley_contracts.credentials import RevokedKind
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Role
from parley_contracts.replies import Done

from tests.unit.accounts.accounts_rig import OWNER, PASSWORD, Accounts, as_user

ACCEPT, RESET = subjects.ACCOUNTS_ACCEPT_INVITATION, subjects.ACCOUNTS_RESET_PASSWORD
INVITE, CREATE_RESET = subjects.ACCOUNTS_CREATE_INVITATION, subjects.ACCOUNTS_CREATE_PASSWORD_RESET


async def invite(accounts: Accounts, asking: dict[str, Any] = OWNER, **fields: Any) -> LinkCreated:
    asked: dict[str, Any] = {**asking, "new_role": Role.MEMBER, **fields}
    request = CreateInvitation(**asked)
    return await accounts.ask(INVITE, request, LinkCreated)


def accepting(link: LinkCreated, name: str = "ada", **fields: Any) -> AcceptInvitation:
    asked: dict[str, Any] = {"token": link.token, "name": name, "password": PASSWORD, **fields}
    return AcceptInvitation(**asked)


async def reset_link(accounts: Accounts, user_id: str) -> LinkCreated:
    request = CreatePasswordReset(**OWNER, user_id=user_id)
    return await accounts.ask(CREATE_RESET, request, LinkCreated)


async def test_an_invitation_makes_one_user_of_its_role(accounts: Accounts) -> None:
    link = await invite(accounts, new_role=Role.GUEST, email="Ada@example.org")
    made = await accounts.ask(ACCEPT, accepting(link), User)

    assert (made.name, made.email, made.role) == ("ada", "ada@example.org", Role.GUEST)
    assert (await accounts.log_in("ada@example.org")).user.id == made.id
    assert link.token not in repr(link)
    again = await accounts.refusal(ACCEPT, accepting(link, "other"))
    assert (again.code, again.field) == (ErrorCode.NOT_FOUND, "token")


async def test_an_invitation_accepted_many_times_at_once_makes_one_user(accounts: Accounts) -> None:
    link = await invite(accounts)
    ended = await asyncio.gather(
        *(accounts.ask(ACCEPT, accepting(link, f"ada{number}"), User) for number in range(5)),
        return_exceptions=True,
    )
    assert len([one for one in ended if isinstance(one, User)]) == 1
    assert {one.code for one in ended if isinstance(one, ParleyError)} == {ErrorCode.NOT_FOUND}


async def test_a_name_that_is_taken_leaves_the_invitation_good(accounts: Accounts) -> None:
    link = await invite(accounts)
    assert await accounts.refusal_code(ACCEPT, accepting(link, "owner")) is ErrorCode.CONFLICT
    assert await accounts.refusal_code(ACCEPT, accepting(link, password="x")) is ErrorCode.INVALID_REQUEST
    assert await accounts.ask(ACCEPT, accepting(link), User)


async def test_an_invitation_for_an_address_is_for_no_other(accounts: Accounts) -> None:
    link = await invite(accounts, email="ada@example.org")
    other = accepting(link, email="eve@example.org")
    assert await accounts.refusal_code(ACCEPT, other) is ErrorCode.INVALID_REQUEST
    assert await accounts.ask(ACCEPT, accepting(link, email="ADA@example.org"), User)


async def test_an_expired_invitation_is_not_found_nor_listed(accounts: Accounts) -> None:
    link = await invite(accounts)
    accounts.clock.advance(accounts.settings.accounts_invitation_hours * 3600 + 1)
    assert await accounts.refusal_code(ACCEPT, accepting(link)) is ErrorCode.NOT_FOUND
    request = ListInvitations(**OWNER)
    listed = await accounts.ask(subjects.ACCOUNTS_LIST_INVITATIONS, request, InvitationList)
    assert listed.invitations == ()


async def test_a_revoked_invitation_is_void(accounts: Accounts) -> None:
    link, kept = await invite(accounts), await invite(accounts)
    revoke = RevokeInvitation(**OWNER, invitation_id=link.id)
    await accounts.ask(subjects.ACCOUNTS_REVOKE_INVITATION, revoke, Done)

    assert await accounts.refusal_code(ACCEPT, accepting(link)) is ErrorCode.NOT_FOUND
    again = await accounts.refusal_code(subjects.ACCOUNTS_REVOKE_INVITATION, revoke)
    assert again is ErrorCode.NOT_FOUND
    request = ListInvitations(**OWNER)
    listed = await accounts.ask(subjects.ACCOUNTS_LIST_INVITATIONS, request, InvitationList)
    assert [one.id for one in listed.invitations] == [kept.id]
    assert kept.token not in listed.model_dump_json()


@pytest.mark.parametrize("fields", [{"state": UserState.DISABLED}, {"new_role": Role.MEMBER}])
async def test_what_somebody_offered_is_void_when_he_may_offer_it_no_more(
    accounts: Accounts, fields: dict[str, Any]
) -> None:
    admin = await accounts.user("admin", Role.ADMIN)
    link = await invite(accounts, as_user(admin))
    await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, ChangeUser(**OWNER, user_id=admin.id, **fields), User)
    assert await accounts.refusal_code(ACCEPT, accepting(link)) is ErrorCode.NOT_FOUND


async def test_an_invitation_gives_no_role_that_its_maker_may_not_give(accounts: Accounts) -> None:
    admin, ada = await accounts.user("admin", Role.ADMIN), await accounts.user("ada")
    for asking, role in (
        (as_user(admin), Role.ADMIN),
        (as_user(admin), Role.OWNER),
        (as_user(ada), Role.GUEST),
    ):
        request = CreateInvitation(**asking, new_role=role)
        assert await accounts.refusal_code(INVITE, request) is ErrorCode.FORBIDDEN


async def test_a_reset_sets_a_password_once_and_ends_all_sessions(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    tokens = await accounts.log_in("ada")
    link = await reset_link(accounts, ada.id)
    request = ResetPassword(token=link.token, password="a new password")
    await accounts.ask(RESET, request, Done)

    assert await accounts.log_in("ada", "a new password")
    old = await accounts.refusal_code(subjects.ACCOUNTS_LOG_IN, LogIn(login="ada", password=PASSWORD))
    assert old is ErrorCode.UNAUTHENTICATED
    assert await accounts.refresh_refusal(tokens.refresh_token)
    assert await accounts.revocations() == [(RevokedKind.USER, ada.id)]
    assert await accounts.refusal_code(RESET, request) is ErrorCode.NOT_FOUND


async def test_a_newer_reset_makes_the_older_one_void(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    older, newer = await reset_link(accounts, ada.id), await reset_link(accounts, ada.id)
    old = ResetPassword(token=older.token, password="a new password")
    assert await accounts.refusal_code(RESET, old) is ErrorCode.NOT_FOUND
    assert await accounts.ask(RESET, old.model_copy(update={"token": newer.token}), Done)


async def test_a_reset_that_has_expired_or_is_of_somebody_disabled_is_void(accounts: Accounts) -> None:
    ada, bob = await accounts.user("ada"), await accounts.user("bob")
    of_ada, of_bob = await reset_link(accounts, ada.id), await reset_link(accounts, bob.id)
    disable = ChangeUser(**OWNER, user_id=bob.id, state=UserState.DISABLED)
    await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, disable, User)
    disabled = ResetPassword(token=of_bob.token, password="a new password")
    assert await accounts.refusal_code(RESET, disabled) is ErrorCode.NOT_FOUND
    accounts.clock.advance(accounts.settings.accounts_reset_minutes * 60 + 1)
    expired = ResetPassword(token=of_ada.token, password="a new password")
    assert await accounts.refusal_code(RESET, expired) is ErrorCode.NOT_FOUND


async def test_a_link_of_one_kind_is_none_of_the_other(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    invitation, reset = await invite(accounts), await reset_link(accounts, ada.id)
    as_reset = ResetPassword(token=invitation.token, password="a new password")
    assert await accounts.refusal_code(RESET, as_reset) is ErrorCode.NOT_FOUND
    assert await accounts.refusal_code(ACCEPT, accepting(reset, "other")) is ErrorCode.NOT_FOUND
    assert await accounts.ask(ACCEPT, accepting(invitation, "other"), User)


async def test_an_admin_resets_neither_himself_nor_anybody_above(accounts: Accounts) -> None:
    admin, peer = await accounts.user("admin", Role.ADMIN), await accounts.user("peer", Role.ADMIN)
    for user_id in (LOCAL_OWNER, peer.id, admin.id):
        request = CreatePasswordReset(**as_user(admin), user_id=user_id)
        assert await accounts.refusal_code(CREATE_RESET, request) is ErrorCode.FORBIDDEN
    ada = await accounts.user("ada")
    hers = CreatePasswordReset(**as_user(ada), user_id=peer.id)
    assert await accounts.refusal_code(CREATE_RESET, hers) is ErrorCode.NOT_FOUND


async def test_what_was_never_a_link_is_answered_like_a_used_one(accounts: Accounts) -> None:
    told = {
        await accounts.told(ACCEPT, AcceptInvitation(token=token, name="ada", password=PASSWORD))
        for token in ("x", "ln-", "\x00", "ln-" + "A" * 43)
    }
    assert {one.code for one in told} == {ErrorCode.NOT_FOUND}
    assert len(told) == 1
