"""Users have names of their own, and are made and changed by those who may."""

import asyncio
from itertools import product
from typing import Any

import pytest
from parley_accounts.login_names import normal_email, normal_name
from parley_contracts import subjects
from parley_contracts.accounts import (
    LOCAL_OWNER,
    ChangeUser,
    CreatePasswordReset,
    CreateUser,
    ListUsers,
    ReadUser,
    User,
    UserList,
    UserState,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission, Role, may_manage

from tests.unit.accounts.accounts_rig import OWNER, PASSWORD, Accounts, as_user

CREATE, CHANGE, READ = (
    subjects.ACCOUNTS_CREATE_USER,
    subjects.ACCOUNTS_CHANGE_USER,
    subjects.ACCOUNTS_READ_USER,
)
CHANGES: tuple[dict[str, Any], ...] = (
    {"state": UserState.DISABLED},
    {"new_role": Role.GUEST},
    {"display_name": "x"},
)


async def change(accounts: Accounts, asking: dict[str, Any], **fields: Any) -> User:
    return await accounts.ask(CHANGE, ChangeUser(**asking, **fields), User)


async def test_names_and_addresses_are_kept_in_one_form(accounts: Accounts) -> None:
    made = await accounts.user(" Ada.L ", email="Ada@EXAMPLE.org", display_name=" Ada Lovelace ")
    assert (made.name, made.email, made.display_name) == ("ada.l", "ada@example.org", "Ada Lovelace")
    assert (made.role, made.state, made.has_password) == (Role.MEMBER, UserState.ACTIVE, True)
    assert (await accounts.user("bob")).display_name == "bob"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "ADA"},
        {"name": "\uff41da"},
        {"name": "owner"},
        {"name": "other", "email": "ADA@Example.org"},
        {"name": "other", "email": "\uff41da@example.org"},
    ],
)
async def test_no_two_users_share_a_name_or_an_address(accounts: Accounts, fields: dict[str, Any]) -> None:
    await accounts.user("ada", email="ada@example.org")
    request = CreateUser(**OWNER, new_role=Role.MEMBER, password=PASSWORD, **fields)
    assert await accounts.refusal_code(CREATE, request) is ErrorCode.CONFLICT


async def test_users_made_at_once_do_not_share_a_name(accounts: Accounts) -> None:
    ended = await asyncio.gather(*(accounts.user("ada") for _ in range(5)), return_exceptions=True)
    assert len([one for one in ended if isinstance(one, User)]) == 1
    assert {one.code for one in ended if isinstance(one, ParleyError)} == {ErrorCode.CONFLICT}


@pytest.mark.parametrize(
    "name", ["a b", "ada@home", ".ada", "ada-", "", "ad\u0430", "a" * 64 + "b", "a\x00b", "\u202eada"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ParleyError) as refused:
        normal_name(name)
    assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_REQUEST, "name")


@pytest.mark.parametrize(
    "email", ["ada", "@b", "a@", "a@b@c", "a b@c", "a@b..c", "a@" + "b" * 254, "a\x00@b.c", "a@b.c\n.d"]
)
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(ParleyError) as refused:
        normal_email(email)
    assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_REQUEST, "email")


async def test_only_lower_roles_are_given_except_by_owners(accounts: Accounts) -> None:
    makers = {role: await accounts.user(f"maker-{role}", role) for role in Role}
    for role, given in product(Role, Role):
        request = CreateUser(**as_user(makers[role]), name=f"{role}-{given}", new_role=given)
        if role in {Role.ADMIN, Role.OWNER} and may_manage(role, given):
            assert (await accounts.ask(CREATE, request, User)).role is given
        else:
            assert await accounts.refusal_code(CREATE, request) is ErrorCode.FORBIDDEN


async def test_a_claimed_role_counts_no_more_than_the_one_that_is_kept(accounts: Accounts) -> None:
    member, owner = await accounts.user("member"), await accounts.user("second", Role.OWNER)
    too_high = CreateUser(**as_user(member, role=Role.OWNER), name="new", new_role=Role.GUEST)
    too_low = CreateUser(**as_user(owner, role=Role.MEMBER), name="new", new_role=Role.GUEST)
    nobody = CreateUser(owner_id="nobody", role=Role.OWNER, name="new", new_role=Role.GUEST)

    assert await accounts.refusal_code(CREATE, too_high) is ErrorCode.FORBIDDEN
    assert await accounts.refusal_code(CREATE, too_low) is ErrorCode.FORBIDDEN
    assert await accounts.refusal_code(CREATE, nobody) is ErrorCode.UNAUTHENTICATED


async def test_scopes_limit_also_an_owner(accounts: Accounts) -> None:
    scoped: dict[str, Any] = {**OWNER, "scopes": (Permission.USERS_READ,)}
    request = CreateUser(**scoped, name="new", new_role=Role.GUEST)
    assert await accounts.refusal_code(CREATE, request) is ErrorCode.FORBIDDEN
    assert await accounts.ask(subjects.ACCOUNTS_LIST_USERS, ListUsers(**scoped), UserList)


async def test_a_key_with_scopes_makes_no_owner_who_would_have_none(accounts: Accounts) -> None:
    other, ada = await accounts.user("other", Role.OWNER), await accounts.user("ada")
    keyed: dict[str, Any] = {**OWNER, "scopes": (Permission.USERS_WRITE, Permission.USERS_READ)}
    made = CreateUser(**keyed, name="eve", new_role=Role.OWNER, password=PASSWORD)
    assert await accounts.refusal_code(CREATE, made) is ErrorCode.FORBIDDEN
    raised = ChangeUser(**keyed, user_id=ada.id, new_role=Role.OWNER)
    assert await accounts.refusal_code(CHANGE, raised) is ErrorCode.FORBIDDEN
    reset = CreatePasswordReset(**keyed, user_id=other.id)
    code = await accounts.refusal_code(subjects.ACCOUNTS_CREATE_PASSWORD_RESET, reset)
    assert code is ErrorCode.FORBIDDEN
    assert (await change(accounts, keyed, user_id=ada.id, new_role=Role.ADMIN)).role is Role.ADMIN


async def test_an_admin_changes_members_and_guests_and_nobody_above(accounts: Accounts) -> None:
    admin, peer = await accounts.user("admin", Role.ADMIN), await accounts.user("peer", Role.ADMIN)
    ada = await accounts.user("ada")
    asking = as_user(admin)

    assert (await change(accounts, asking, user_id=ada.id, new_role=Role.GUEST)).role is Role.GUEST
    for user_id in (peer.id, LOCAL_OWNER):
        for fields in CHANGES:
            request = ChangeUser(**asking, user_id=user_id, **fields)
            assert await accounts.refusal_code(CHANGE, request) is ErrorCode.FORBIDDEN
    promote = ChangeUser(**asking, user_id=ada.id, new_role=Role.ADMIN)
    assert await accounts.refusal_code(CHANGE, promote) is ErrorCode.FORBIDDEN


async def test_nobody_changes_his_own_role_or_state(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    for asking in (OWNER, as_user(ada)):
        for fields in CHANGES[:2]:
            request = ChangeUser(**asking, **fields)
            assert await accounts.refusal_code(CHANGE, request) is ErrorCode.FORBIDDEN
    assert (await change(accounts, as_user(ada), display_name="Ada L")).display_name == "Ada L"


@pytest.mark.parametrize("fields", [{"new_role": Role.MEMBER}, {"state": UserState.DISABLED}])
async def test_owners_who_demote_or_disable_each_other_leave_one(
    accounts: Accounts, fields: dict[str, Any]
) -> None:
    second = await accounts.user("second", Role.OWNER)
    ended = await asyncio.gather(
        change(accounts, OWNER, user_id=second.id, **fields),
        change(accounts, as_user(second), user_id=LOCAL_OWNER, **fields),
        return_exceptions=True,
    )
    assert len([one for one in ended if isinstance(one, User)]) == 1
    refused = [one for one in ended if isinstance(one, ParleyError)]
    lost = ErrorCode.FORBIDDEN if "new_role" in fields else ErrorCode.UNAUTHENTICATED
    assert [one.code for one in refused] == [lost]


async def test_another_user_is_not_found_by_who_may_not_look(accounts: Accounts) -> None:
    ada, bob = await accounts.user("ada"), await accounts.user("bob")
    told = {
        await accounts.told(subject, request(**as_user(bob), user_id=user_id))
        for user_id in (ada.id, "never was", "nul\x00", LOCAL_OWNER)
        for subject, request in ((READ, ReadUser), (CHANGE, ChangeUser))
    }
    assert {one.code for one in told} == {ErrorCode.NOT_FOUND}
    assert len(told) == 1
    assert await accounts.ask(READ, ReadUser(**as_user(bob)), User) == bob
    assert (await accounts.ask(READ, ReadUser(**OWNER, user_id=ada.id), User)).name == "ada"
    listing = ListUsers(**as_user(bob))
    assert await accounts.refusal_code(subjects.ACCOUNTS_LIST_USERS, listing) is ErrorCode.FORBIDDEN


async def test_users_are_listed_page_by_page(accounts: Accounts) -> None:
    for name in ("carl", "ada", "bob"):
        await accounts.user(name)
    pages: list[list[str]] = []
    after: str | None = None
    while not pages or after is not None:
        request = ListUsers(**OWNER, limit=3, after_name=after)
        page = await accounts.ask(subjects.ACCOUNTS_LIST_USERS, request, UserList)
        pages.append([one.name for one in page.users])
        after = page.next_after_name
    assert pages == [["ada", "bob", "carl"], ["owner"]]
