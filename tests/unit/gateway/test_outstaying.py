"""What is open ends with the key or the session that it was opened by, and not with the access token."""

import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from parley_contracts import subjects
from parley_contracts.accounts import EndSession, SessionTokens
from parley_contracts.credentials import CreateKey, KeyCreated
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Role
from parley_contracts.replies import Done
from parley_gateway.outstaying import ASK_AGAIN_MS, Outstaying
from parley_gateway.principal import Principal
from parley_gateway.sockets import Sockets

from tests.unit.accounts.accounts_rig import OWNER, as_user
from tests.unit.gateway.accounts_edge import Entered, open_identities
from tests.unit.gateway.test_identities import ALL_ASKED, lose_events, silence

TOKEN_S = 601
DAY_S = 86_400


class Watch:
    """Something that is open, and whether it was ended."""

    def __init__(self) -> None:
        self.is_ended = False

    def end(self) -> None:
        self.is_ended = True


class Guests:
    """Somebody's open stream, and who looks whether he may stay."""

    def __init__(self, entered: Entered) -> None:
        self.sockets, self.watch, self.ahead_ms = Sockets(), Watch(), 0
        self.outstaying = Outstaying(self.sockets, entered.identities, clock=self._now_ms)

    def _now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms

    async def is_sent_away(self, principal: Principal, after_s: float) -> bool:
        self.ahead_ms = round(after_s * 1000)
        with self.sockets.watching(self.watch.end, principal):
            await self.outstaying.look()
        return self.watch.is_ended


@pytest.fixture
async def entered(tmp_path: Path, accounts_file: Path) -> AsyncGenerator[Entered]:
    async with open_identities(tmp_path, accounts_file) as opened:
        yield opened


async def end_session(entered: Entered, tokens: SessionTokens) -> None:
    end = EndSession(**as_user(tokens.user), session_id=tokens.session_id)
    await entered.accounts.ask(subjects.ACCOUNTS_END_SESSION, end, Done)


async def test_what_was_opened_by_a_key_ends_when_that_expires(entered: Entered) -> None:
    expires_at_ms = time.time_ns() // 1_000_000 + DAY_S * 1000
    request = CreateKey(**OWNER, name="a key", expires_at_ms=expires_at_ms)
    made = await entered.accounts.ask(subjects.ACCOUNTS_CREATE_KEY, request, KeyCreated)
    principal, guests = await entered.identities.of_bearer(made.key), Guests(entered)
    assert not await guests.is_sent_away(principal, DAY_S - 60)
    assert await guests.is_sent_away(principal, DAY_S + 1)


async def test_a_key_that_never_expires_is_not_asked_about(entered: Entered) -> None:
    made = await entered.accounts.ask(
        subjects.ACCOUNTS_CREATE_KEY, CreateKey(**OWNER, name="a key"), KeyCreated
    )
    principal = await entered.identities.of_bearer(made.key)
    silence(entered.accounts.bus, *ALL_ASKED)
    assert not await Guests(entered).is_sent_away(principal, 1000 * DAY_S)


async def test_what_was_opened_by_a_token_lasts_as_long_as_the_session(
    entered: Entered, monkeypatch: pytest.MonkeyPatch
) -> None:
    await entered.accounts.user("ada", Role.MEMBER)
    tokens = await entered.accounts.log_in("ada")
    principal, guests = await entered.identities.of_bearer(tokens.access_token), Guests(entered)
    assert not await guests.is_sent_away(principal, TOKEN_S)
    # Ended while nobody here hears of it.
    await lose_events(entered.accounts.bus)
    await end_session(entered, tokens)
    assert not await guests.is_sent_away(principal, TOKEN_S + 1)
    now_s = time.monotonic()
    # What was remembered of the session is so no more.
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 61)
    assert await guests.is_sent_away(principal, TOKEN_S + ASK_AGAIN_MS / 1000 + 1)


async def test_what_is_only_open_keeps_its_session_from_going_unused_no_longer(
    entered: Entered, monkeypatch: pytest.MonkeyPatch
) -> None:
    await entered.accounts.user("ada", Role.MEMBER)
    tokens = await entered.accounts.log_in("ada")
    principal, guests = await entered.identities.of_bearer(tokens.access_token), Guests(entered)
    for day in (10, 20, 30):
        now_s = time.monotonic()
        # What was remembered of the session is so no more.
        monkeypatch.setattr(time, "monotonic", lambda now_s=now_s: now_s + 61)
        entered.accounts.clock.advance(10 * DAY_S)
        assert await guests.is_sent_away(principal, day * DAY_S) == (day == 30)


async def test_nobody_is_sent_away_because_accounts_is_away(entered: Entered) -> None:
    await entered.accounts.user("ada", Role.MEMBER)
    tokens = await entered.accounts.log_in("ada")
    principal, guests = await entered.identities.of_bearer(tokens.access_token), Guests(entered)
    silence(entered.accounts.bus, *ALL_ASKED)
    with pytest.raises(ParleyError) as told:
        await guests.is_sent_away(principal, TOKEN_S)
    assert told.value.code is ErrorCode.UNAVAILABLE
    assert not guests.watch.is_ended


async def test_a_key_expires_also_while_accounts_is_away(entered: Entered) -> None:
    await entered.accounts.user("ada", Role.MEMBER)
    tokens = await entered.accounts.log_in("ada")
    by_token = await entered.identities.of_bearer(tokens.access_token)
    by_key, guests = Principal("ada", key_id="k1", expires_at_ms=1), Guests(entered)
    silence(entered.accounts.bus, *ALL_ASKED)
    with guests.sockets.watching(Watch().end, by_token), pytest.raises(ParleyError):
        await guests.is_sent_away(by_key, TOKEN_S)
    assert guests.watch.is_ended
