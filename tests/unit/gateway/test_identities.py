"""How a gateway knows who asks: what it asks accounts for, remembers, verifies alone, and refuses."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from parley_contracts import subjects
from parley_contracts.accounts import ChangeUser, EndSession, EndSessions, SessionTokens, User, UserState
from parley_contracts.credentials import (
    CreateKey,
    KeyCreated,
    PublishedKeys,
    ReadPublishedKeys,
    ReadRevocations,
    Revocation,
    RevocationList,
    RevokedKind,
    RevokeKey,
    RotateSigningKey,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission, Role
from parley_contracts.replies import Done
from parley_gateway import access_tokens, revocation_watch
from parley_gateway.identities import Identities
from parley_gateway.principal import Principal
from parley_messaging.memory_bus import MemoryBus

from tests.unit.accounts.accounts_rig import OWNER, OWNER_KEY, as_user
from tests.unit.gateway.accounts_edge import Entered, open_identities
from tests.unit.gateway.http_edge import until


@pytest.fixture
async def entered(tmp_path: Path, accounts_file: Path) -> AsyncGenerator[Entered]:
    async with open_identities(tmp_path, accounts_file) as opened:
        yield opened


async def refusal(asking: Awaitable[Principal]) -> ErrorCode:
    with pytest.raises(ParleyError) as caught:
        await asking
    return caught.value.code


async def is_refused(ask: Callable[[], Awaitable[Principal]]) -> bool:
    try:
        await ask()
    except ParleyError as error:
        return error.code is ErrorCode.UNAUTHENTICATED
    return False


async def is_unavailable(ask: Callable[[], Awaitable[Principal]]) -> bool:
    try:
        await ask()
    except ParleyError as error:
        return error.code is ErrorCode.UNAVAILABLE
    return False


def silence(bus: MemoryBus, *names: str) -> None:
    """Have nobody answer these subjects any more."""
    for name in names:
        bus._answers.pop(name, None)  # pyright: ignore[reportPrivateUsage] - it stops only as a whole


async def lose_events(bus: MemoryBus) -> None:
    """Have nobody hear of anything any more."""
    subscriptions = bus._subscriptions  # pyright: ignore[reportPrivateUsage] - it loses nothing by itself
    for subscription in tuple(subscriptions):
        await subscription.unsubscribe()


ALL_ASKED = (
    subjects.ACCOUNTS_CHECK_KEY,
    subjects.ACCOUNTS_CHECK_SESSION,
    subjects.ACCOUNTS_PUBLISHED_KEYS,
    subjects.ACCOUNTS_READ_REVOCATIONS,
)


async def new_key(entered: Entered, *scopes: Permission) -> KeyCreated:
    request = CreateKey(**OWNER, name="a key", key_scopes=scopes or None)
    return await entered.accounts.ask(subjects.ACCOUNTS_CREATE_KEY, request, KeyCreated)


async def member(entered: Entered) -> tuple[User, SessionTokens]:
    user = await entered.accounts.user("ada")
    return user, await entered.accounts.log_in("ada")


async def test_the_key_of_the_first_start_is_the_local_owner(entered: Entered) -> None:
    found = await entered.identities.of_bearer(OWNER_KEY)
    assert (found.owner_id, found.role, found.scopes) == ("local-owner", Role.OWNER, None)


async def test_a_key_has_its_scopes_and_a_token_and_a_session_have_their_user(entered: Entered) -> None:
    scoped = await entered.identities.of_bearer((await new_key(entered, Permission.MODELS_READ)).key)
    assert scoped.scopes == (Permission.MODELS_READ,)
    user, tokens = await member(entered)
    by_token = await entered.identities.of_bearer(tokens.access_token)
    by_session = await entered.identities.of_session(tokens.session_id)
    assert by_token == by_session == Principal(user.id, Role.MEMBER, session_id=tokens.session_id)


@pytest.mark.parametrize("text", ["pk_wrong", "pk-owner-x", "x" * 600, "eyJ", "é", "eyJ.eyJ.", "eyJ..."])
async def test_what_is_nobodys_is_refused(entered: Entered, text: str) -> None:
    assert await refusal(entered.identities.of_bearer(text)) is ErrorCode.UNAUTHENTICATED
    assert await refusal(entered.identities.of_session(text[:64])) is ErrorCode.UNAUTHENTICATED


async def test_everybody_is_known_while_accounts_is_away_as_long_as_that_may_be(
    entered: Entered, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = (await new_key(entered)).key
    _, tokens = await member(entered)
    shown = (
        lambda: entered.identities.of_bearer(key),
        lambda: entered.identities.of_bearer(tokens.access_token),
        lambda: entered.identities.of_session(tokens.session_id),
    )
    before = [await ask() for ask in shown]
    silence(entered.accounts.bus, *ALL_ASKED)
    assert [await ask() for ask in shown] == before
    assert await refusal(entered.identities.of_bearer("pk_never_seen")) is ErrorCode.UNAVAILABLE
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 61)
    assert await shown[1]() == before[1]
    assert [await refusal(shown[place]()) for place in (0, 2)] == [ErrorCode.UNAVAILABLE] * 2


async def revoke_key(entered: Entered, key_id: str) -> None:
    await entered.accounts.ask(subjects.ACCOUNTS_REVOKE_KEY, RevokeKey(**OWNER, key_id=key_id), Done)


async def test_a_revoked_key_a_session_that_ended_and_their_tokens_are_refused_at_once(
    entered: Entered,
) -> None:
    made = await new_key(entered)
    user, tokens = await member(entered)
    shown = (
        lambda: entered.identities.of_bearer(made.key),
        lambda: entered.identities.of_bearer(tokens.access_token),
        lambda: entered.identities.of_session(tokens.session_id),
    )
    for ask in shown:
        await ask()
    await revoke_key(entered, made.described.id)
    end = EndSession(**as_user(user), session_id=tokens.session_id)
    await entered.accounts.ask(subjects.ACCOUNTS_END_SESSION, end, Done)
    for ask in shown:
        await until_refused(ask)


async def until_refused(ask: Callable[[], Awaitable[Principal]], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not await is_refused(ask):  # noqa: ASYNC110 - what is heard in between tells nobody
            await asyncio.sleep(0.005)


async def test_who_is_logged_out_everywhere_comes_in_by_a_new_login_only(entered: Entered) -> None:
    user, tokens = await member(entered)
    everywhere = EndSessions(**as_user(user))
    await entered.accounts.ask(subjects.ACCOUNTS_END_SESSIONS, everywhere, Done)
    await until_refused(lambda: entered.identities.of_bearer(tokens.access_token))
    entered.accounts.clock.advance(0.01)
    again = await entered.accounts.log_in("ada")
    assert (await entered.identities.of_bearer(again.access_token)).owner_id == user.id


async def test_who_is_disabled_or_has_lost_his_role_is_so_for_what_was_remembered(entered: Entered) -> None:
    user, tokens = await member(entered)
    assert (await entered.identities.of_session(tokens.session_id)).role is Role.MEMBER
    lower = ChangeUser(**OWNER, user_id=user.id, new_role=Role.GUEST)
    await entered.accounts.ask(subjects.ACCOUNTS_CHANGE_USER, lower, User)
    await until_refused(lambda: entered.identities.of_bearer(tokens.access_token))
    assert (await entered.identities.of_session(tokens.session_id)).role is Role.GUEST
    disable = ChangeUser(**OWNER, user_id=user.id, state=UserState.DISABLED)
    await entered.accounts.ask(subjects.ACCOUNTS_CHANGE_USER, disable, User)
    await until_refused(lambda: entered.identities.of_session(tokens.session_id))


def session_revocation(tokens: SessionTokens) -> Revocation:
    now_ms = time.time_ns() // 1_000_000
    return Revocation(
        id="r1",
        kind=RevokedKind.SESSION,
        revoked_id=tokens.session_id,
        at_ms=now_ms,
        expires_at_ms=now_ms + 60_000,
    )


async def test_what_redis_tells_of_is_refused_without_an_event(entered: Entered) -> None:
    _, tokens = await member(entered)
    await entered.identities.of_bearer(tokens.access_token)
    entered.board.posted = (session_revocation(tokens),)
    await until_refused(lambda: entered.identities.of_bearer(tokens.access_token), within_s=5)


async def test_accounts_is_asked_while_redis_is_away_and_what_was_told_stays_when_both_are(
    entered: Entered,
) -> None:
    user, tokens = await member(entered)
    await entered.identities.of_bearer(tokens.access_token)
    entered.board.is_away = True
    await lose_events(entered.accounts.bus)
    await entered.accounts.ask(subjects.ACCOUNTS_END_SESSIONS, EndSessions(**as_user(user)), Done)
    await until_refused(lambda: entered.identities.of_bearer(tokens.access_token))
    silence(entered.accounts.bus, *ALL_ASKED)
    assert await is_refused(lambda: entered.identities.of_bearer(tokens.access_token))


async def test_what_was_missed_while_the_bus_was_away_is_asked_for_when_it_is_back(entered: Entered) -> None:
    user, tokens = await member(entered)
    await entered.identities.of_bearer(tokens.access_token)
    await lose_events(entered.accounts.bus)
    await entered.accounts.ask(subjects.ACCOUNTS_END_SESSIONS, EndSessions(**as_user(user)), Done)
    entered.accounts.bus.reconnect()
    await until_refused(lambda: entered.identities.of_bearer(tokens.access_token))


async def test_a_token_is_not_taken_before_it_is_known_what_was_revoked(
    tmp_path: Path, accounts_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation_watch, "FIRST_LOOK_S", 0.05)
    async with open_identities(tmp_path, accounts_file) as entered:
        tokens = await entered.accounts.log_in_with_key()
        entered.board.is_away = True
        silence(entered.accounts.bus, subjects.ACCOUNTS_READ_REVOCATIONS)
        late = type(entered.identities)(entered.accounts.bus, entered.board)
        assert await refusal(late.of_bearer(tokens.access_token)) is ErrorCode.UNAVAILABLE


async def test_a_redis_that_was_emptied_does_not_say_that_nothing_was_revoked(
    entered: Entered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation_watch, "FIRST_LOOK_S", 0.05)
    _, tokens = await member(entered)
    await entered.accounts.ask(subjects.ACCOUNTS_END_SESSIONS, EndSessions(**as_user(tokens.user)), Done)
    entered.board.is_emptied = True
    silence(entered.accounts.bus, subjects.ACCOUNTS_READ_REVOCATIONS)
    async with beginning(entered) as begun:
        assert await refusal(begun.of_bearer(tokens.access_token)) is ErrorCode.UNAVAILABLE


@asynccontextmanager
async def beginning(entered: Entered) -> AsyncGenerator[Identities]:
    """Yield the identities of a gateway that begins just now."""
    begun = Identities(entered.accounts.bus, entered.board)
    await begun.start()
    tasks = [asyncio.create_task(run()) for run in begun.endless]
    try:
        yield begun
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_who_comes_to_a_gateway_that_began_before_accounts_waits_for_its_keys(
    entered: Entered, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = await entered.accounts.log_in_with_key()
    monkeypatch.setattr(access_tokens, "RETRY_S", 0.1)
    answers = entered.accounts.bus._answers  # pyright: ignore[reportPrivateUsage] - it stops only as a whole
    answer = answers.pop(subjects.ACCOUNTS_PUBLISHED_KEYS)
    async with beginning(entered) as begun:
        coming = [asyncio.create_task(begun.of_bearer(tokens.access_token)) for _ in range(3)]
        await asyncio.wait(coming, timeout=0.05)
        answers[subjects.ACCOUNTS_PUBLISHED_KEYS] = answer
        assert {(await one).role for one in coming} == {Role.OWNER}


async def test_an_accounts_that_is_slow_refuses_nobody_while_redis_tells_what_was_revoked(
    entered: Entered,
) -> None:
    tokens = await entered.accounts.log_in_with_key()
    bus, asked = entered.accounts.bus, asyncio.Event()
    silence(bus, subjects.ACCOUNTS_READ_REVOCATIONS)

    async def hang(_: ReadRevocations) -> RevocationList:
        asked.set()
        return await asyncio.Future()

    bus.answer(subjects.ACCOUNTS_READ_REVOCATIONS, ReadRevocations, hang)
    async with beginning(entered) as begun:
        await asked.wait()
        assert (await begun.of_bearer(tokens.access_token)).role is Role.OWNER


async def test_a_gateway_that_refused_because_nobody_told_it_anything_takes_tokens_once_accounts_is_there(
    entered: Entered, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((access_tokens, "RETRY_S"), (access_tokens, "FIRST_KEYS_S")):
        monkeypatch.setattr(module, name, 0.05)
    monkeypatch.setattr(revocation_watch, "FIRST_LOOK_S", 0.05)
    tokens, bus = await entered.accounts.log_in_with_key(), entered.accounts.bus
    answers = {name: bus._answers[name] for name in ALL_ASKED}  # pyright: ignore[reportPrivateUsage] - as in `silence`
    silence(bus, *ALL_ASKED)
    entered.board.is_away = True
    async with beginning(entered) as begun:
        assert await refusal(begun.of_bearer(tokens.access_token)) is ErrorCode.UNAVAILABLE
        # Redis stays away, and no event tells that accounts is there.
        bus._answers.update(answers)  # pyright: ignore[reportPrivateUsage] - as above
        async with asyncio.timeout(10):
            while await is_unavailable(lambda: begun.of_bearer(tokens.access_token)):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        assert (await begun.of_bearer(tokens.access_token)).role is Role.OWNER


async def test_tokens_by_the_next_key_are_taken_and_those_by_a_compromised_one_are_not(
    entered: Entered,
) -> None:
    before = await entered.accounts.log_in_with_key()
    await entered.identities.of_bearer(before.access_token)
    rotate = RotateSigningKey(**OWNER, is_compromised=True)
    await entered.accounts.ask(subjects.ACCOUNTS_ROTATE_SIGNING_KEY, rotate, PublishedKeys)
    await until_refused(lambda: entered.identities.of_bearer(before.access_token))
    after = await entered.accounts.log_in_with_key()
    assert (await entered.identities.of_bearer(after.access_token)).role is Role.OWNER


async def test_a_change_of_keys_that_was_missed_is_found_by_the_unknown_key(
    entered: Entered, monkeypatch: pytest.MonkeyPatch
) -> None:
    await entered.identities.of_bearer((await entered.accounts.log_in_with_key()).access_token)
    await lose_events(entered.accounts.bus)
    for _ in range(2):
        rotate = RotateSigningKey(**OWNER, is_compromised=True)
        await entered.accounts.ask(subjects.ACCOUNTS_ROTATE_SIGNING_KEY, rotate, PublishedKeys)
    tokens = await entered.accounts.log_in_with_key()
    assert await is_refused(lambda: entered.identities.of_bearer(tokens.access_token))
    monkeypatch.setattr(access_tokens, "UNKNOWN_KEY_S", 0.0)
    assert (await entered.identities.of_bearer(tokens.access_token)).role is Role.OWNER


async def test_keys_are_asked_for_again_when_an_event_may_have_been_dropped() -> None:
    bus, asked = MemoryBus(), 0

    async def publish(_: ReadPublishedKeys) -> PublishedKeys:
        nonlocal asked
        asked += 1
        return PublishedKeys(issuer="parley:here", keys=())

    bus.answer(subjects.ACCOUNTS_PUBLISHED_KEYS, ReadPublishedKeys, publish)
    tokens = access_tokens.AccessTokens(bus)
    await tokens.start()
    running = asyncio.create_task(tokens.run())
    await until(lambda: asked == 1)
    bus.drop()
    await until(lambda: asked == 2)
    running.cancel()
    await asyncio.wait([running])
    await bus.close()
