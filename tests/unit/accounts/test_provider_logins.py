"""Whose session somebody gets whom a provider knows, on both databases."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from parley_accounts.oidc.proven import read_proven
from parley_accounts.tables import oidc_attempts, oidc_identities
from parley_contracts import subjects
from parley_contracts.accounts import (
    LOCAL_OWNER,
    ChangeUser,
    CreateInvitation,
    CreateUser,
    InvitationList,
    LinkCreated,
    ListInvitations,
    ReadUser,
    User,
    UserState,
)
from parley_contracts.credentials import CheckKey, CreateKey, KeyCreated, KnownPrincipal, RevokedKind
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.notices import NoticeKind
from parley_contracts.oidc import ProviderLogout, ReadProviderLogout
from parley_contracts.policy import Role
from sqlalchemy import URL, func, select, update

from tests.unit.accounts.accounts_rig import OWNER, PASSWORD, Accounts, as_user
from tests.unit.accounts.notices_rig import notices_of
from tests.unit.accounts.provider_rig import ADDRESS, ProviderLogin, open_provider_login
from tests.unit.accounts.test_secrets_at_rest import everything

WORDS = "Logging in did not work; begin again."


async def invited(accounts: Accounts, email: str, role: Role = Role.MEMBER) -> LinkCreated:
    request = CreateInvitation(**OWNER, new_role=role, email=email)
    return await accounts.ask(subjects.ACCOUNTS_CREATE_INVITATION, request, LinkCreated)


async def change(accounts: Accounts, user_id: str, **fields: Any) -> User:
    request = ChangeUser(**OWNER, user_id=user_id, **fields)
    return await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, request, User)


async def read_user(accounts: Accounts, user_id: str) -> User:
    return await accounts.ask(subjects.ACCOUNTS_READ_USER, ReadUser(**OWNER, user_id=user_id), User)


def is_refused(error: ParleyError) -> bool:
    return (error.code, error.message, error.field) == (ErrorCode.UNAUTHENTICATED, WORDS, None)


@pytest.fixture
async def welcome(url: URL) -> AsyncGenerator[ProviderLogin]:
    """Where everybody whom the provider knows gets an account."""
    async with open_provider_login(url) as opened:
        yield opened


async def test_a_first_login_makes_an_account_and_a_second_finds_it(welcome: ProviderLogin) -> None:
    first = await welcome.log_in()
    second = await welcome.log_in(email="other@example.org", preferred_username="somebody")
    assert (first.user.name, first.user.email, first.user.display_name) == ("ada", ADDRESS, "Ada L.")
    assert (first.user.role, first.user.has_password) == (Role.GUEST, False)
    assert (second.user.id, second.user.email) == (first.user.id, ADDRESS)
    assert second.session_id != first.session_id
    assert await welcome.count() == (2, 1)
    assert (await welcome.accounts.claims(second)).sub == first.user.id


async def test_the_session_is_like_that_of_a_password(welcome: ProviderLogin) -> None:
    tokens = await welcome.log_in()
    following = await welcome.accounts.refresh(tokens.refresh_token)
    assert following.session_id == tokens.session_id
    welcome.accounts.clock.advance(11)
    assert (await welcome.accounts.refresh_refusal(tokens.refresh_token)).code is ErrorCode.UNAUTHENTICATED
    assert (await welcome.accounts.refresh_refusal(following.refresh_token)).code is ErrorCode.UNAUTHENTICATED
    assert (RevokedKind.SESSION, tokens.session_id) in await welcome.accounts.revocations()


async def test_two_people_of_one_name_are_two_users(welcome: ProviderLogin) -> None:
    ada = await welcome.log_in()
    other = await welcome.log_in(sub="ada-2", email="a2@example.org")
    assert ada.user.id != other.user.id
    assert other.user.name.startswith("ada-")


async def test_a_subject_that_differs_in_case_alone_is_somebody_else(welcome: ProviderLogin) -> None:
    ada = await welcome.log_in(email=None)
    assert (await welcome.log_in(sub="ADA-1", email=None)).user.id != ada.user.id


async def test_a_name_is_made_of_what_somebody_is_called(welcome: ProviderLogin) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"preferred_username": "Zoë.Müller@corp.example"}, "zo-.m-ller"),
        ({"preferred_username": "///"}, "user"),
        ({"preferred_username": 7, "email": "Bob@Example.org"}, "bob"),
        ({"preferred_username": "x" * 300}, "x" * 40),
        ({"preferred_username": "owner"}, "owner-"),
        ({"preferred_username": "a\r\nSet-Cookie: b"}, "aset-cookie-b"),
    ]
    for number, (said, name) in enumerate(cases):
        tokens = await welcome.log_in(**{"sub": f"n-{number}", "email": None, **said})
        assert tokens.user.name.startswith(name), said


async def test_first_logins_of_one_person_at_once_make_one_user(welcome: ProviderLogin) -> None:
    welcome.fake.person = {"sub": "ada-1", "email": ADDRESS, "email_verified": True}
    requests = [await welcome.request() for _ in range(5)]
    logins = await asyncio.gather(*(welcome.complete(one) for one in requests))
    assert len({one.tokens.user.id for one in logins}) == 1
    assert await welcome.count() == (5, 1)


async def test_who_is_disabled_is_refused_like_everybody_else(welcome: ProviderLogin) -> None:
    tokens = await welcome.log_in()
    await change(welcome.accounts, tokens.user.id, state=UserState.DISABLED)
    assert is_refused(await welcome.refusal())
    assert welcome.counted("disabled") == 1
    await change(welcome.accounts, tokens.user.id, state=UserState.ACTIVE)
    assert (await welcome.log_in()).user.id == tokens.user.id


async def test_an_address_that_is_not_verified_is_nobodys(welcome: ProviderLogin) -> None:
    await welcome.accounts.user("bob", email=ADDRESS)
    for number, verified in enumerate((False, None, "true", 1, [True])):
        tokens = await welcome.log_in(sub=f"n-{number}", email_verified=verified)
        assert (tokens.user.email, tokens.user.name.partition("-")[0]) == (None, "ada"), verified


async def test_an_address_that_somebody_has_lets_nobody_else_in(welcome: ProviderLogin) -> None:
    await welcome.accounts.user("bob", email=ADDRESS)
    assert is_refused(await welcome.refusal())
    assert await welcome.count() == (0, 0)
    assert welcome.counted("address_taken") == 1


async def test_a_verified_address_links_when_the_setting_allows_it(url: URL) -> None:
    async with open_provider_login(url, links_by_email=True, strangers="refused") as opened:
        accounts = opened.accounts
        bob = await accounts.user("bob", email=ADDRESS)
        assert is_refused(await opened.refusal(email_verified=False))
        tokens = await opened.log_in(email="ADA@Example.org")
        assert tokens.user.id == bob.id
        # From now on it is the subject that counts.
        assert (await opened.log_in(email="new@example.org")).user.id == bob.id
        assert is_refused(await opened.refusal(sub="ada-2", email="third@example.org"))


async def test_an_address_is_linked_to_one_subject_alone(url: URL) -> None:
    async with open_provider_login(url, links_by_email=True) as opened:
        bob = await opened.accounts.user("bob", email=ADDRESS)
        assert (await opened.log_in(sub="ada-1")).user.id == bob.id
        # Another person of the provider has the address now.
        assert is_refused(await opened.refusal(sub="ada-2"))
        assert opened.counted("address_taken") == 1
        assert (await opened.log_in(sub="ada-1")).user.id == bob.id


async def test_what_let_others_in_before_an_address_was_linked_is_void(url: URL) -> None:
    async with open_provider_login(url, links_by_email=True) as opened:
        accounts = opened.accounts
        bob = await accounts.user("bob", email=ADDRESS)
        before = await accounts.log_in("bob")
        made = await accounts.ask(
            subjects.ACCOUNTS_CREATE_KEY, CreateKey(**as_user(bob), name="k"), KeyCreated
        )
        assert (await opened.log_in()).user.id == bob.id
        log_in_again = await accounts.refresh_refusal(before.refresh_token)
        key = await accounts.refusal_code(subjects.ACCOUNTS_CHECK_KEY, CheckKey(key=made.key))
        assert (log_in_again.code, key) == (ErrorCode.UNAUTHENTICATED, ErrorCode.UNAUTHENTICATED)
        with pytest.raises(ParleyError):
            await accounts.log_in("bob", PASSWORD)
        assert {(RevokedKind.USER, bob.id), (RevokedKind.KEY, made.described.id)} <= set(
            await accounts.revocations()
        )
        # What is made afterwards is not touched by later logins.
        made = await accounts.ask(
            subjects.ACCOUNTS_CREATE_KEY, CreateKey(**as_user(bob), name="k"), KeyCreated
        )
        await opened.log_in()
        await accounts.ask(subjects.ACCOUNTS_CHECK_KEY, CheckKey(key=made.key), KnownPrincipal)


async def test_no_address_links_to_an_owner_or_to_whom_is_disabled(url: URL) -> None:
    async with open_provider_login(url, links_by_email=True) as opened:
        accounts = opened.accounts
        owner = CreateUser(**OWNER, name="bob", email=ADDRESS, new_role=Role.OWNER, password=PASSWORD)
        await accounts.ask(subjects.ACCOUNTS_CREATE_USER, owner, User)
        assert is_refused(await opened.refusal())
        eve = await accounts.user("eve", email="eve@example.org")
        await change(accounts, eve.id, state=UserState.DISABLED)
        assert is_refused(await opened.refusal(sub="eve-1", email="eve@example.org"))
        assert await opened.count() == (0, 0)
        assert (await accounts.log_in("bob")).user.name == "bob"


async def test_who_is_not_invited_is_refused_and_an_invitation_is_used_once(url: URL) -> None:
    async with open_provider_login(url, strangers="invited") as opened:
        accounts = opened.accounts
        assert is_refused(await opened.refusal())
        await invited(accounts, "somebody@example.org")
        assert is_refused(await opened.refusal())
        await invited(accounts, ADDRESS, Role.OWNER)
        assert is_refused(await opened.refusal())
        await invited(accounts, ADDRESS, Role.ADMIN)
        assert is_refused(await opened.refusal(email_verified=False))
        tokens = await opened.log_in()
        assert (tokens.user.role, tokens.user.email) == (Role.ADMIN, ADDRESS)
        listed = await accounts.ask(
            subjects.ACCOUNTS_LIST_INVITATIONS, ListInvitations(**OWNER), InvitationList
        )
        assert [one.email for one in listed.invitations] == [ADDRESS, "somebody@example.org"]


async def test_an_invitation_says_the_role_also_where_everybody_is_welcome(welcome: ProviderLogin) -> None:
    await invited(welcome.accounts, ADDRESS, Role.MEMBER)
    assert (await welcome.log_in()).user.role == Role.MEMBER
    assert (await welcome.log_in(sub="ada-2", email="a2@example.org")).user.role == Role.GUEST


async def test_an_invitation_that_has_expired_lets_nobody_in(url: URL) -> None:
    async with open_provider_login(url, strangers="invited") as opened:
        await invited(opened.accounts, ADDRESS)
        opened.fake.person = {"sub": "ada-1", "email": ADDRESS, "email_verified": True}
        opened.accounts.clock.advance(73 * 3600)
        # The provider's clock does not move: what it says is judged before anybody is looked for.
        assert is_refused(await opened.refusal())
        assert await opened.count() == (0, 0)


async def test_strangers_are_refused_where_they_are_not_wanted(url: URL) -> None:
    async with open_provider_login(url, strangers="refused") as opened:
        await invited(opened.accounts, ADDRESS)
        assert is_refused(await opened.refusal())
        assert opened.counted("stranger") == 1


DOMAINS: list[tuple[dict[str, Any], bool]] = [
    ({"email": "a@example.org"}, True),
    ({"email": "b@EXAMPLE.org"}, True),
    ({"email": "a@corp.example"}, True),
    ({"email": "a@evil-example.org"}, False),
    ({"email": "a@sub.example.org"}, False),
    ({"email": "a@example.org.evil.net"}, False),
    ({"email": "c@example.org", "email_verified": False}, False),
    ({"email": None}, False),
    ({"email": ["d@example.org"]}, False),
    ({"email": "a@example.org@evil.net"}, False),
    ({"email": "a@evil.net\r\n@example.org"}, False),
]


async def test_only_addresses_of_the_allowed_domains_come_in(url: URL) -> None:
    async with open_provider_login(url, email_domains="example.org, @corp.example") as opened:
        for number, (said, is_in) in enumerate(DOMAINS):
            person: dict[str, Any] = {"sub": f"n-{number}", **said}
            if is_in:
                assert (await opened.log_in(**person)).user.email == person["email"].lower()
            else:
                assert is_refused(await opened.refusal(**person)), person
        outside = sum(not is_in for _, is_in in DOMAINS)
        assert opened.counted("email_domain") == outside
        # Also of whom has come in before, when his address is another one now.
        assert is_refused(await opened.refusal(sub="n-0", email="a@evil.net"))


ROLES: dict[str, Any] = {"roles": "staff=member;bosses=admin; cn=x,ou=y=guest", "role_claim": "groups"}


GROUPS: list[tuple[object, Role]] = [
    (["staff"], Role.MEMBER),
    (["staff", "bosses", "others"], Role.ADMIN),
    ("bosses", Role.ADMIN),
    (["cn=x,ou=y"], Role.GUEST),
    (["Bosses"], Role.GUEST),
    (["owner"], Role.GUEST),
    ([["bosses"], {"bosses": 1}, None, 5], Role.GUEST),
    ({"bosses": True}, Role.GUEST),
    (None, Role.GUEST),
]


async def test_groups_give_roles(url: URL) -> None:
    async with open_provider_login(url, **ROLES) as opened:
        for number, (groups, role) in enumerate(GROUPS):
            tokens = await opened.log_in(sub=f"n-{number}", email=None, groups=groups)
            assert tokens.user.role == role, groups


async def test_a_role_follows_the_groups_at_each_login_and_links_made_before_are_void(url: URL) -> None:
    async with open_provider_login(url, **ROLES) as opened:
        accounts = opened.accounts
        boss = (await opened.log_in(groups=["bosses"])).user
        request = CreateInvitation(**as_user(boss), new_role=Role.MEMBER)
        await accounts.ask(subjects.ACCOUNTS_CREATE_INVITATION, request, LinkCreated)
        demoted = await opened.log_in(groups=[])
        assert (demoted.user.id, demoted.user.role) == (boss.id, Role.GUEST)
        (told,) = await notices_of(accounts, demoted.user)
        assert (told.kind, told.facts.role) == (NoticeKind.ROLE_CHANGED, Role.GUEST)
        assert (RevokedKind.USER, boss.id) in await accounts.revocations()
        listed = await accounts.ask(
            subjects.ACCOUNTS_LIST_INVITATIONS, ListInvitations(**OWNER), InvitationList
        )
        assert listed.invitations == ()


async def test_no_group_takes_anything_from_an_owner(url: URL) -> None:
    async with open_provider_login(url, **ROLES) as opened:
        ada = (await opened.log_in(groups=["bosses"])).user
        await change(opened.accounts, ada.id, new_role=Role.OWNER)
        assert (await opened.log_in(groups=["staff"])).user.role == Role.OWNER
        assert (await read_user(opened.accounts, LOCAL_OWNER)).role == Role.OWNER


async def test_who_is_in_no_group_is_refused_where_that_is_asked_for(url: URL) -> None:
    async with open_provider_login(url, **ROLES, default_role="refuse") as opened:
        assert is_refused(await opened.refusal(groups=["others"]))
        assert await opened.count() == (0, 0)
        ada = (await opened.log_in(groups=["staff"])).user
        assert is_refused(await opened.refusal(groups=[]))
        assert (await read_user(opened.accounts, ada.id)).role == Role.MEMBER


PATHS: list[tuple[str, dict[str, Any]]] = [
    ("realm_access.roles", {"realm_access": {"roles": ["staff"]}}),
    ("https://example.org/roles", {"https://example.org/roles": ["staff"]}),
]


@pytest.mark.parametrize(("claim", "person"), PATHS, ids=["path", "name-with-dots"])
async def test_groups_are_found_by_name_and_by_path(claim: str, person: dict[str, Any]) -> None:
    proven = read_proven("i", "s", person, claim)
    assert proven.groups == {"staff"}


async def test_logins_that_are_used_up_are_swept_out_when_they_are_too_old_anyway(
    welcome: ProviderLogin,
) -> None:
    async def left() -> int:
        query = select(func.count()).select_from(oidc_attempts)
        return await welcome.accounts.database.read(lambda one: one.execute(query).scalar_one())

    await welcome.log_in()
    await welcome.accounts.sweep.sweep()
    assert await left() == 1
    welcome.accounts.clock.advance(601)
    await welcome.accounts.sweep.sweep()
    assert await left() == 0


async def test_the_same_name_at_another_provider_is_somebody_else(welcome: ProviderLogin) -> None:
    ada = await welcome.log_in(email=None)
    moved = update(oidc_identities).values(issuer="https://other.example")

    def move(connection: Any) -> None:
        connection.execute(moved)

    await welcome.accounts.database.write(move)
    assert (await welcome.log_in(email=None)).user.id != ada.user.id


async def test_nothing_that_proves_a_login_stands_in_the_database(welcome: ProviderLogin) -> None:
    request = await welcome.request()
    await welcome.complete(request)
    (exchange,) = welcome.fake.token_requests
    told = [
        request.proof,
        request.state,
        exchange["code"],
        exchange["code_verifier"],
        *welcome.fake.secrets_told,
    ]
    kept = await welcome.accounts.database.read(everything)
    assert not [one for one in told if one.encode() in kept]


async def test_nobody_is_told_where_somebody_else_logs_out(url: URL) -> None:
    async with open_provider_login(url, ends_provider_session=True) as opened:
        ada = await opened.log_in()
        bob = await opened.accounts.user("bob")

        async def address(user: User, session_id: str) -> str | None:
            request = ReadProviderLogout(**as_user(user), session_id=session_id)
            subject = subjects.ACCOUNTS_READ_PROVIDER_LOGOUT
            return (await opened.accounts.ask(subject, request, ProviderLogout)).address

        assert await address(ada.user, ada.session_id) is not None
        assert await address(bob, ada.session_id) is None
        assert await address(ada.user, "never-was") is None
