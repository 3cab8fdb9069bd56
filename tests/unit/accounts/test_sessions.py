"""Refresh tokens are good once; who shows a used one ends the session, unless its answer was just lost."""

import asyncio

from parley_accounts.tables import refresh_tokens
from parley_contracts import subjects
from parley_contracts.accounts import (
    ChangeUser,
    EndSession,
    EndSessions,
    ListSessions,
    SessionList,
    SessionTokens,
    User,
    UserState,
)
from parley_contracts.credentials import RevokedKind
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Role
from parley_contracts.replies import Done
from sqlalchemy import URL, func, select

from tests.unit.accounts.accounts_rig import OWNER, Accounts, as_user, open_accounts

ENDED = "The session has ended; log in again."


async def open_sessions(accounts: Accounts, user: User) -> list[str]:
    request = ListSessions(**as_user(user))
    found = await accounts.ask(subjects.ACCOUNTS_LIST_SESSIONS, request, SessionList)
    return [one.id for one in found.sessions]


async def test_each_refresh_gives_new_tokens_of_the_same_session(accounts: Accounts) -> None:
    await accounts.user("ada")
    tokens = await accounts.log_in("ada")
    seen = {tokens.refresh_token}
    for _ in range(5):
        following = await accounts.refresh(tokens.refresh_token)
        assert following.session_id == tokens.session_id
        assert following.access_token != tokens.access_token
        assert (await accounts.claims(following)).sid == tokens.session_id
        tokens = following
        seen.add(tokens.refresh_token)
    assert len(seen) == 6
    assert await accounts.revocations() == []


async def test_a_used_token_ends_the_whole_session(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    first = await accounts.log_in("ada")
    other = await accounts.log_in("ada")
    second = await accounts.refresh(first.refresh_token)
    third = await accounts.refresh(second.refresh_token)
    accounts.clock.advance(60)

    for stolen in (first, second, third):
        refused = await accounts.refresh_refusal(stolen.refresh_token)
        assert (refused.code, refused.message) == (ErrorCode.UNAUTHENTICATED, ENDED)
    assert await accounts.revocations() == [(RevokedKind.SESSION, first.session_id)]
    assert await open_sessions(accounts, ada) == [other.session_id]
    assert await accounts.refresh(other.refresh_token)
    reused = accounts.registry.get_sample_value("parley_accounts_refreshes_total", {"result": "reused"})
    assert reused == 1


async def test_within_the_grace_a_used_token_leads_to_the_very_same_successor(accounts: Accounts) -> None:
    await accounts.user("ada")
    first = await accounts.log_in("ada")
    second = await accounts.refresh(first.refresh_token)
    accounts.clock.advance(5)
    again = await accounts.refresh(first.refresh_token)

    assert again.refresh_token == second.refresh_token
    assert again.refresh_expires_at_ms == second.refresh_expires_at_ms
    assert await accounts.refresh(again.refresh_token)
    assert await accounts.revocations() == []


async def test_the_grace_ends_when_the_successor_is_used(accounts: Accounts) -> None:
    await accounts.user("ada")
    first = await accounts.log_in("ada")
    second = await accounts.refresh(first.refresh_token)
    third = await accounts.refresh(second.refresh_token)

    assert (await accounts.refresh_refusal(first.refresh_token)).message == ENDED
    assert (await accounts.refresh_refusal(third.refresh_token)).message == ENDED
    assert await accounts.revocations() == [(RevokedKind.SESSION, first.session_id)]


async def test_the_grace_ends_by_the_clock(accounts: Accounts) -> None:
    await accounts.user("ada")
    first = await accounts.log_in("ada")
    second = await accounts.refresh(first.refresh_token)
    accounts.clock.advance(accounts.settings.accounts_refresh_grace_s + 1)

    assert (await accounts.refresh_refusal(first.refresh_token)).message == ENDED
    assert (await accounts.refresh_refusal(second.refresh_token)).message == ENDED


async def test_a_token_shown_many_times_at_once_has_one_successor(accounts: Accounts) -> None:
    await accounts.user("ada")
    first = await accounts.log_in("ada")
    shown = [accounts.refresh(first.refresh_token) for _ in range(8)]
    answers: list[SessionTokens] = await asyncio.gather(*shown)

    assert len({one.refresh_token for one in answers}) == 1
    count = select(func.count()).select_from(refresh_tokens)
    assert await accounts.database.read(lambda connection: connection.execute(count).scalar_one()) == 2


async def test_what_is_no_refresh_token_is_refused_and_ends_nothing(accounts: Accounts) -> None:
    await accounts.user("ada")
    tokens = await accounts.log_in("ada")
    for wrong in ("x", tokens.access_token[:500], tokens.refresh_token[:-1], tokens.refresh_token.upper()):
        assert (await accounts.refresh_refusal(wrong)).message == ENDED
    assert await accounts.revocations() == []
    assert await accounts.refresh(tokens.refresh_token)


async def test_a_session_that_is_not_used_runs_out(url: URL) -> None:
    async with open_accounts(url, accounts_refresh_days=1, accounts_session_days=3) as accounts:
        await accounts.user("ada")
        unused, tokens = await accounts.log_in("ada"), await accounts.log_in("ada")
        for _ in range(3):
            accounts.clock.advance(20 * 3600)
            tokens = await accounts.refresh(tokens.refresh_token)
        assert (await accounts.refresh_refusal(unused.refresh_token)).message == ENDED
        # However often it is used, a session has an end.
        assert tokens.refresh_expires_at_ms - accounts.clock() < 13 * 3_600_000
        accounts.clock.advance(20 * 3600)
        assert (await accounts.refresh_refusal(tokens.refresh_token)).message == ENDED


async def test_logging_out_ends_one_session(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    here, there = await accounts.log_in("ada", client="here"), await accounts.log_in("ada", client="there")
    for _ in range(2):
        request = EndSession(**as_user(ada), session_id=here.session_id)
        await accounts.ask(subjects.ACCOUNTS_END_SESSION, request, Done)

    assert (await accounts.refresh_refusal(here.refresh_token)).message == ENDED
    assert await accounts.refresh(there.refresh_token)
    assert await accounts.revocations() == [(RevokedKind.SESSION, here.session_id)]


async def test_another_users_session_is_not_found(accounts: Accounts) -> None:
    ada, bob = await accounts.user("ada"), await accounts.user("bob")
    hers = await accounts.log_in("ada")
    for session_id in (hers.session_id, "never was"):
        for asking in (as_user(bob), OWNER):
            request = EndSession(**asking, session_id=session_id)
            refused = await accounts.refusal(subjects.ACCOUNTS_END_SESSION, request)
            assert (refused.code, refused.field) == (ErrorCode.NOT_FOUND, "session_id")
    listed = ListSessions(**as_user(bob), user_id=ada.id)
    refused = await accounts.refusal_code(subjects.ACCOUNTS_LIST_SESSIONS, listed)
    assert refused is ErrorCode.NOT_FOUND
    assert await accounts.refresh(hers.refresh_token)


async def test_logging_out_everywhere_ends_all_sessions(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    sessions = [await accounts.log_in("ada") for _ in range(3)]
    await accounts.ask(subjects.ACCOUNTS_END_SESSIONS, EndSessions(**as_user(ada)), Done)

    for one in sessions:
        assert (await accounts.refresh_refusal(one.refresh_token)).message == ENDED
    assert await accounts.revocations() == [(RevokedKind.USER, ada.id)]
    revoked = accounts.revoked[0]
    for one in sessions:
        assert (await accounts.claims(one)).issued_at_ms <= revoked.at_ms
    later = await accounts.log_in("ada")
    assert (await accounts.claims(later)).issued_at_ms >= revoked.at_ms
    assert await open_sessions(accounts, ada) == [later.session_id]


async def test_disabling_a_user_ends_all_and_lets_nobody_in(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    tokens = await accounts.log_in("ada")
    disable = ChangeUser(**OWNER, user_id=ada.id, state=UserState.DISABLED)
    assert (await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, disable, User)).state is UserState.DISABLED

    assert (await accounts.refresh_refusal(tokens.refresh_token)).message == ENDED
    assert await accounts.revocations() == [(RevokedKind.USER, ada.id)]
    asked = await accounts.refusal_code(subjects.ACCOUNTS_LIST_SESSIONS, ListSessions(**as_user(ada)))
    assert asked is ErrorCode.UNAUTHENTICATED
    enable = disable.model_copy(update={"state": UserState.ACTIVE})
    await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, enable, User)
    assert (await accounts.refresh_refusal(tokens.refresh_token)).message == ENDED
    assert await accounts.log_in("ada")


async def test_logins_that_race_with_disabling_leave_no_session_open(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    disable = ChangeUser(**OWNER, user_id=ada.id, state=UserState.DISABLED)
    raced = await asyncio.gather(
        *(accounts.log_in("ada") for _ in range(6)),
        accounts.ask(subjects.ACCOUNTS_CHANGE_USER, disable, User),
        *(accounts.log_in("ada") for _ in range(6)),
        return_exceptions=True,
    )
    let_in = [one for one in raced if isinstance(one, SessionTokens)]
    faults = [one for one in raced if isinstance(one, BaseException)]

    assert all(isinstance(one, ParleyError) for one in faults), faults
    assert await accounts.revocations() == [(RevokedKind.USER, ada.id)]
    for one in let_in:
        assert (await accounts.refresh_refusal(one.refresh_token)).message == ENDED
        assert (await accounts.claims(one)).issued_at_ms <= accounts.revoked[0].at_ms


async def test_a_new_role_makes_old_tokens_stale_and_the_session_goes_on(accounts: Accounts) -> None:
    ada = await accounts.user("ada", Role.ADMIN)
    tokens = await accounts.log_in("ada")
    demote = ChangeUser(**OWNER, user_id=ada.id, new_role=Role.GUEST)
    await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, demote, User)
    following = await accounts.refresh(tokens.refresh_token)

    assert await accounts.revocations() == [(RevokedKind.USER, ada.id)]
    assert (await accounts.claims(following)).role is Role.GUEST


async def test_the_session_unused_longest_makes_room(url: URL) -> None:
    async with open_accounts(url, accounts_sessions_per_user=2) as accounts:
        ada = await accounts.user("ada")
        first = await accounts.log_in("ada")
        accounts.clock.advance(1)
        second = await accounts.log_in("ada")
        accounts.clock.advance(1)
        first = await accounts.refresh(first.refresh_token)
        accounts.clock.advance(1)
        third = await accounts.log_in("ada")

        assert await open_sessions(accounts, ada) == [third.session_id, first.session_id]
        assert await accounts.revocations() == [(RevokedKind.SESSION, second.session_id)]
