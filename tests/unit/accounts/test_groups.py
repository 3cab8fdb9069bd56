"""Groups add permissions to roles: nobody gives what he has not, and what is changed is in force at once."""

import asyncio
from itertools import product
from typing import Any

import pytest
from parley_contracts import subjects
from parley_contracts.accounts import (
    LOCAL_OWNER,
    AcceptInvitation,
    ChangeUser,
    CreateInvitation,
    CreatePasswordReset,
    LinkCreated,
    ListUsers,
    ResetPassword,
    User,
    UserList,
)
from parley_contracts.credentials import (
    CheckKey,
    CheckSession,
    CreateKey,
    KeyCreated,
    KnownPrincipal,
    RevokedKind,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.groups import (
    AddGroupMember,
    ChangeGroup,
    CreateGroup,
    DeleteGroup,
    Group,
    GroupList,
    GroupMember,
    GroupMemberList,
    ListGroupMembers,
    ListGroups,
    ListOwnGroups,
    OwnGroupList,
    ReadGroup,
    RemoveGroupMember,
)
from parley_contracts.policy import PERMISSIONS, Permission, Role, may_manage
from parley_contracts.replies import Done

from tests.unit.accounts.accounts_rig import OWNER, Accounts, as_user

P = Permission
CREATE, CHANGE, DELETE = (
    subjects.ACCOUNTS_CREATE_GROUP,
    subjects.ACCOUNTS_CHANGE_GROUP,
    subjects.ACCOUNTS_DELETE_GROUP,
)
ADD, REMOVE = subjects.ACCOUNTS_ADD_GROUP_MEMBER, subjects.ACCOUNTS_REMOVE_GROUP_MEMBER


async def group_of(
    accounts: Accounts, *permissions: Permission, name: str = "Editors", members: tuple[User, ...] = ()
) -> Group:
    made = await accounts.ask(CREATE, CreateGroup(**OWNER, name=name, permissions=permissions), Group)
    for user in members:
        await add(accounts, OWNER, made, user)
    return made


async def add(accounts: Accounts, asking: dict[str, Any], group: Group, user: User) -> GroupMember:
    return await accounts.ask(ADD, AddGroupMember(**asking, group_id=group.id, user_id=user.id), GroupMember)


async def remove(accounts: Accounts, asking: dict[str, Any], group: Group, user: User) -> Done:
    return await accounts.ask(REMOVE, RemoveGroupMember(**asking, group_id=group.id, user_id=user.id), Done)


async def granted(accounts: Accounts, user: User) -> tuple[Permission, ...]:
    """Return what a new session of a user carries of his groups."""
    tokens = await accounts.log_in(user.name)
    carried = (await accounts.claims(tokens)).granted
    request = CheckSession(session_id=tokens.session_id)
    known = await accounts.ask(subjects.ACCOUNTS_CHECK_SESSION, request, KnownPrincipal)
    assert known.granted == carried
    return carried


# -- what is given ------------------------------------------------------------------------------------


async def test_a_group_adds_to_its_members_roles_what_those_lack(accounts: Accounts) -> None:
    ada, bob = await accounts.user("ada"), await accounts.user("bob")
    await group_of(accounts, P.USERS_READ, P.WEB_USE, members=(ada,))
    assert await granted(accounts, ada) == (P.USERS_READ,)
    assert await granted(accounts, bob) == ()
    listing = ListUsers(**as_user(ada, granted=(P.USERS_READ,)))
    assert len((await accounts.ask(subjects.ACCOUNTS_LIST_USERS, listing, UserList)).users) == 3


async def test_what_is_said_to_be_granted_counts_no_more_than_what_is_kept(accounts: Accounts) -> None:
    ada, bob = await accounts.user("ada"), await accounts.user("bob")
    group = await group_of(accounts, P.USERS_READ, members=(ada,))
    for user, said in ((bob, (P.USERS_READ,)), (ada, ()), (ada, (P.KEK_ROTATE,))):
        listing = ListUsers(**as_user(user, granted=said))
        assert await accounts.refusal_code(subjects.ACCOUNTS_LIST_USERS, listing) is ErrorCode.FORBIDDEN
    await remove(accounts, OWNER, group, ada)
    listing = ListUsers(**as_user(ada, granted=(P.USERS_READ,)))
    assert await accounts.refusal_code(subjects.ACCOUNTS_LIST_USERS, listing) is ErrorCode.FORBIDDEN


async def test_scopes_of_a_key_limit_what_groups_add_as_well(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    group = await group_of(accounts, P.USERS_READ, members=(ada,))
    asking = as_user(ada, granted=(P.USERS_READ,))
    request = CreateKey(**asking, name="k", key_scopes=(P.USERS_READ,))
    key = await accounts.ask(subjects.ACCOUNTS_CREATE_KEY, request, KeyCreated)
    known = await accounts.ask(subjects.ACCOUNTS_CHECK_KEY, CheckKey(key=key.key), KnownPrincipal)
    assert (known.scopes, known.granted) == ((P.USERS_READ,), (P.USERS_READ,))
    await remove(accounts, OWNER, group, ada)
    known = await accounts.ask(subjects.ACCOUNTS_CHECK_KEY, CheckKey(key=key.key), KnownPrincipal)
    assert known.granted == ()
    narrow = ListUsers(**as_user(ada, scopes=(P.TURNS_WRITE,), granted=(P.USERS_READ,)))
    assert await accounts.refusal_code(subjects.ACCOUNTS_LIST_USERS, narrow) is ErrorCode.FORBIDDEN


# -- who may give -------------------------------------------------------------------------------------


async def test_nobody_gives_what_his_own_role_has_not(accounts: Accounts) -> None:
    admin = await accounts.user("admin", Role.ADMIN)
    for number, permission in enumerate(Permission):
        request = CreateGroup(**as_user(admin), name=f"g{number}", permissions=(permission,))
        if permission in PERMISSIONS[Role.ADMIN]:
            assert (await accounts.ask(CREATE, request, Group)).permissions == (permission,)
        else:
            told = await accounts.told(CREATE, request)
            assert (told.code, told.field) == (ErrorCode.FORBIDDEN, "permissions")


async def test_a_group_that_adds_more_than_ones_own_role_is_not_to_be_touched(accounts: Accounts) -> None:
    admin, ada = await accounts.user("admin", Role.ADMIN), await accounts.user("ada")
    high = await group_of(accounts, P.KEK_ROTATE, members=(ada,))
    named: dict[str, Any] = {**as_user(admin), "group_id": high.id}
    attempts = (
        (CHANGE, ChangeGroup(**named, permissions=())),
        (CHANGE, ChangeGroup(**named, name="Mine")),
        (DELETE, DeleteGroup(**named)),
        (ADD, AddGroupMember(**named, user_id=ada.id)),
        (REMOVE, RemoveGroupMember(**named, user_id=ada.id)),
    )
    for subject, request in attempts:
        assert await accounts.refusal_code(subject, request) is ErrorCode.FORBIDDEN
    low = await group_of(accounts, name="low")
    raised = ChangeGroup(**as_user(admin), group_id=low.id, permissions=(P.KEK_ROTATE,))
    assert await accounts.refusal_code(CHANGE, raised) is ErrorCode.FORBIDDEN
    assert await granted(accounts, ada) == (P.KEK_ROTATE,)


async def test_what_a_group_has_given_is_not_passed_on(accounts: Accounts) -> None:
    ada, guest = await accounts.user("ada"), await accounts.user("guest", Role.GUEST)
    keepers = await group_of(accounts, P.GROUPS_WRITE, P.KEK_ROTATE, members=(ada,))
    asking = as_user(ada, granted=await granted(accounts, ada))
    for permission in (P.GROUPS_WRITE, P.KEK_ROTATE):
        request = CreateGroup(**asking, name="x", permissions=(permission,))
        assert await accounts.refusal_code(CREATE, request) is ErrorCode.FORBIDDEN
    add_guest = AddGroupMember(**asking, group_id=keepers.id, user_id=guest.id)
    assert await accounts.refusal_code(ADD, add_guest) is ErrorCode.FORBIDDEN
    own = CreateGroup(**asking, name="Writers", permissions=(P.DOCUMENTS_WRITE,))
    writers = await accounts.ask(CREATE, own, Group)
    await add(accounts, asking, writers, guest)
    assert await granted(accounts, guest) == (P.DOCUMENTS_WRITE,)


async def test_a_key_gives_no_more_than_its_scopes(accounts: Accounts) -> None:
    scoped: dict[str, Any] = {**OWNER, "scopes": (P.GROUPS_WRITE, P.WEB_USE)}
    made = CreateGroup(**scoped, name="web", permissions=(P.WEB_USE,))
    assert await accounts.ask(CREATE, made, Group)
    more = CreateGroup(**scoped, name="more", permissions=(P.DOCUMENTS_WRITE,))
    assert await accounts.refusal_code(CREATE, more) is ErrorCode.FORBIDDEN


async def test_only_users_of_a_lower_role_are_put_in_and_out_except_by_owners(accounts: Accounts) -> None:
    group = await group_of(accounts)
    people = {role: await accounts.user(f"a-{role}", role) for role in Role}
    for role, other in product((Role.ADMIN, Role.OWNER), Role):
        asking, user = as_user(people[role]), people[other]
        if may_manage(role, other):
            assert (await add(accounts, asking, group, user)).user_id == user.id
            await remove(accounts, asking, group, user)
        else:
            for subject, request in ((ADD, AddGroupMember), (REMOVE, RemoveGroupMember)):
                asked = request(**asking, group_id=group.id, user_id=user.id)
                assert await accounts.refusal_code(subject, asked) is ErrorCode.FORBIDDEN


async def test_nobody_gets_at_what_a_group_adds_by_resetting_a_members_password(accounts: Accounts) -> None:
    admin, ada = await accounts.user("admin", Role.ADMIN), await accounts.user("ada")
    reset = CreatePasswordReset(**as_user(admin), user_id=ada.id)
    early = await accounts.ask(subjects.ACCOUNTS_CREATE_PASSWORD_RESET, reset, LinkCreated)
    await group_of(accounts, P.KEK_ROTATE, members=(ada,))
    used = ResetPassword(token=early.token, password="correct battery horse")
    assert await accounts.refusal_code(subjects.ACCOUNTS_RESET_PASSWORD, used) is ErrorCode.NOT_FOUND
    code = await accounts.refusal_code(subjects.ACCOUNTS_CREATE_PASSWORD_RESET, reset)
    assert code is ErrorCode.FORBIDDEN
    by_owner = CreatePasswordReset(**OWNER, user_id=ada.id)
    assert await accounts.ask(subjects.ACCOUNTS_CREATE_PASSWORD_RESET, by_owner, LinkCreated)


async def test_what_somebody_offered_by_a_group_is_void_when_that_adds_it_no_more(accounts: Accounts) -> None:
    ada, guest = await accounts.user("ada"), await accounts.user("guest", Role.GUEST)
    carers = await group_of(accounts, P.USERS_WRITE, members=(ada,))
    asking = as_user(ada, granted=(P.USERS_WRITE,))
    invite = CreateInvitation(**asking, new_role=Role.GUEST)
    invited = await accounts.ask(subjects.ACCOUNTS_CREATE_INVITATION, invite, LinkCreated)
    reset = CreatePasswordReset(**asking, user_id=guest.id)
    offered = await accounts.ask(subjects.ACCOUNTS_CREATE_PASSWORD_RESET, reset, LinkCreated)
    await group_of(accounts, P.AUDIT_READ, name="Auditors", members=(ada,))
    await remove(accounts, OWNER, carers, ada)
    used = ResetPassword(token=offered.token, password="correct battery horse")
    assert await accounts.refusal_code(subjects.ACCOUNTS_RESET_PASSWORD, used) is ErrorCode.NOT_FOUND
    taken = AcceptInvitation(token=invited.token, name="eve", password="correct battery horse")
    assert await accounts.refusal_code(subjects.ACCOUNTS_ACCEPT_INVITATION, taken) is ErrorCode.NOT_FOUND


async def test_what_somebody_offered_stands_when_he_may_do_more(accounts: Accounts) -> None:
    admin = await accounts.user("admin", Role.ADMIN)
    invite = CreateInvitation(**as_user(admin), new_role=Role.MEMBER)
    invited = await accounts.ask(subjects.ACCOUNTS_CREATE_INVITATION, invite, LinkCreated)
    await group_of(accounts, P.KEK_ROTATE, members=(admin,))
    taken = AcceptInvitation(token=invited.token, name="eve", password="correct battery horse")
    assert await accounts.ask(subjects.ACCOUNTS_ACCEPT_INVITATION, taken, User)


async def test_a_link_to_reset_a_password_ends_with_the_role_it_was_made_for(accounts: Accounts) -> None:
    admin, ada = await accounts.user("admin", Role.ADMIN), await accounts.user("ada")
    reset = CreatePasswordReset(**as_user(admin), user_id=ada.id)
    link = await accounts.ask(subjects.ACCOUNTS_CREATE_PASSWORD_RESET, reset, LinkCreated)
    raised = ChangeUser(**OWNER, user_id=ada.id, new_role=Role.OWNER)
    await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, raised, User)
    used = ResetPassword(token=link.token, password="correct battery horse")
    assert await accounts.refusal_code(subjects.ACCOUNTS_RESET_PASSWORD, used) is ErrorCode.NOT_FOUND


# -- at once ------------------------------------------------------------------------------------------


async def test_each_change_refuses_the_earlier_tokens_of_whom_it_concerns(accounts: Accounts) -> None:
    ada, bob = await accounts.user("ada"), await accounts.user("bob")
    admin = await accounts.user("admin", Role.ADMIN)
    of_ada = [(RevokedKind.USER, ada.id)]
    group = await group_of(accounts, P.USERS_READ, members=(admin,))
    assert await accounts.revocations() == []
    await add(accounts, OWNER, group, ada)
    assert await accounts.revocations() == of_ada
    await add(accounts, OWNER, group, ada)
    await accounts.ask(CHANGE, ChangeGroup(**OWNER, group_id=group.id, name="Others"), Group)
    again = await group_of(accounts, P.USERS_READ, P.WEB_USE, name="again", members=(ada, bob))
    assert await accounts.revocations() == [*of_ada, (RevokedKind.USER, bob.id)]
    accounts.revoked.clear()
    await remove(accounts, OWNER, group, ada)
    assert await accounts.revocations() == []
    change = ChangeGroup(**OWNER, group_id=again.id, permissions=(P.WEB_USE,))
    await accounts.ask(CHANGE, change, Group)
    assert sorted(await accounts.revocations()) == sorted([*of_ada, (RevokedKind.USER, bob.id)])
    accounts.revoked.clear()
    await accounts.ask(CHANGE, ChangeGroup(**OWNER, group_id=again.id, permissions=(P.KEK_ROTATE,)), Group)
    await accounts.ask(DELETE, DeleteGroup(**OWNER, group_id=again.id), Done)
    assert (await accounts.revocations()).count((RevokedKind.USER, bob.id)) == 2


async def test_sessions_go_on_with_what_is_added_and_without_what_is_not(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    tokens = await accounts.log_in("ada")
    group = await group_of(accounts, P.USERS_READ, members=(ada,))
    tokens = await accounts.refresh(tokens.refresh_token)
    assert (await accounts.claims(tokens)).granted == (P.USERS_READ,)
    await remove(accounts, OWNER, group, ada)
    tokens = await accounts.refresh(tokens.refresh_token)
    assert (await accounts.claims(tokens)).granted == ()


async def test_changes_at_once_leave_nobody_with_what_no_group_adds(accounts: Accounts) -> None:
    users = [await accounts.user(f"user-{n}") for n in range(4)]
    group = await group_of(accounts, P.USERS_READ, members=tuple(users[:2]))
    tokens = await asyncio.gather(*(accounts.log_in(user.name) for user in users))
    ended = await asyncio.gather(
        *(add(accounts, OWNER, group, user) for user in users),
        accounts.ask(DELETE, DeleteGroup(**OWNER, group_id=group.id), Done),
        *(accounts.refresh(one.refresh_token) for one in tokens),
        *(remove(accounts, OWNER, group, user) for user in users),
        return_exceptions=True,
    )
    refused = [one for one in ended if isinstance(one, BaseException)]
    assert {one.code for one in refused if isinstance(one, ParleyError)} <= {ErrorCode.NOT_FOUND}
    assert all(isinstance(one, ParleyError) for one in refused), refused
    for user in users:
        assert await granted(accounts, user) == ()
    # Whatever token was issued with more is refused by what was told.
    told = {one.revoked_id: one.at_ms for one in accounts.revoked}
    await accounts.revocations()
    told |= {one.revoked_id: one.at_ms for one in accounts.revoked}
    for one in ended:
        if hasattr(one, "access_token"):
            claims = await accounts.claims(one)  # pyright: ignore[reportArgumentType] - it has tokens
            if claims.granted:
                assert claims.issued_at_ms <= told[claims.sub]


async def test_owners_and_groups_are_changed_at_once_without_a_deadlock(accounts: Accounts) -> None:
    second, ada = await accounts.user("second", Role.OWNER), await accounts.user("ada")
    groups = [await group_of(accounts, P.USERS_READ, name=f"g{n}", members=(second, ada)) for n in range(3)]
    of_second = as_user(second)
    ended = await asyncio.gather(
        *(
            accounts.ask(CHANGE, ChangeGroup(**asking, group_id=one.id, permissions=(P.USERS_WRITE,)), Group)
            for one, asking in zip(groups, (OWNER, of_second, OWNER), strict=True)
        ),
        *(
            accounts.ask(
                subjects.ACCOUNTS_CHANGE_USER,
                ChangeUser(**asking, user_id=ada.id, display_name=f"a{n}"),
                User,
            )
            for n, asking in enumerate((OWNER, of_second, OWNER))
        ),
    )
    assert len(ended) == 6
    assert await granted(accounts, ada) == (P.USERS_WRITE,)


async def test_groups_of_one_name_made_at_once_are_one(accounts: Accounts) -> None:
    ended = await asyncio.gather(
        *(group_of(accounts, name=name) for name in ("Editors", "editors", " EDITORS ")),
        return_exceptions=True,
    )
    assert len([one for one in ended if isinstance(one, Group)]) == 1
    refused = [one for one in ended if isinstance(one, ParleyError)]
    assert [(one.code, one.field) for one in refused] == [(ErrorCode.CONFLICT, "name")] * 2


# -- what is told -------------------------------------------------------------------------------------


async def test_groups_and_members_are_listed_page_by_page(accounts: Accounts) -> None:
    people = [await accounts.user(name) for name in ("carl", "ada", "bob")]
    for name in ("Writers", "Editors", "readers"):
        await group_of(accounts, name=name, members=tuple(people))
    names: list[str] = []
    members: list[str] = []
    cursor: str | None = None
    while True:
        request = ListGroups(**OWNER, limit=2, cursor=cursor)
        page = await accounts.ask(subjects.ACCOUNTS_LIST_GROUPS, request, GroupList)
        names += [one.name for one in page.groups]
        if (cursor := page.next_cursor) is None:
            break
    group = page.groups[-1]
    while True:
        of_group = ListGroupMembers(**OWNER, group_id=group.id, limit=2, cursor=cursor)
        found = await accounts.ask(subjects.ACCOUNTS_LIST_GROUP_MEMBERS, of_group, GroupMemberList)
        members += [one.name for one in found.members]
        if (cursor := found.next_cursor) is None:
            break
    assert (names, members) == (["Editors", "readers", "Writers"], ["ada", "bob", "carl"])
    assert (group.members, found.members[-1].added_by) == (3, LOCAL_OWNER)


async def test_members_are_told_their_groups_and_nothing_else_of_groups(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    group = await group_of(accounts, P.WEB_USE, members=(ada,))
    await group_of(accounts, name="Others")
    own = await accounts.ask(subjects.ACCOUNTS_LIST_OWN_GROUPS, ListOwnGroups(**as_user(ada)), OwnGroupList)
    assert [one.id for one in own.groups] == [group.id]
    of_ada = ListGroups(**OWNER, user_id=ada.id)
    listed = await accounts.ask(subjects.ACCOUNTS_LIST_GROUPS, of_ada, GroupList)
    assert [one.id for one in listed.groups] == [group.id]
    for request in (ReadGroup(**as_user(ada), group_id=group.id), ReadGroup(**as_user(ada), group_id="x")):
        code = await accounts.refusal_code(subjects.ACCOUNTS_READ_GROUP, request)
        assert code is ErrorCode.FORBIDDEN


@pytest.mark.parametrize("name", ["   ", "a\u202eb", "a\x00b"])
async def test_a_name_that_cannot_be_seen_is_refused(accounts: Accounts, name: str) -> None:
    told = await accounts.told(CREATE, CreateGroup(**OWNER, name=name))
    assert (told.code, told.field) == (ErrorCode.INVALID_REQUEST, "name")


async def test_what_is_not_there_is_told_by_field(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    group = await group_of(accounts)
    for group_id, user_id, field in (("x", ada.id, "group_id"), (group.id, "x", "user_id")):
        for subject, request in ((ADD, AddGroupMember), (REMOVE, RemoveGroupMember)):
            told = await accounts.told(subject, request(**OWNER, group_id=group_id, user_id=user_id))
            assert (told.code, told.field) == (ErrorCode.NOT_FOUND, field)
    absent = RemoveGroupMember(**OWNER, group_id=group.id, user_id=ada.id)
    assert (await accounts.told(REMOVE, absent)).field == "user_id"
