"""Who somebody is, remembered: asked once, and not longer than it is so."""

import asyncio
import time

import pytest
from parley_contracts import subjects
from parley_contracts.credentials import (
    CheckKey,
    KnownPrincipal,
    Revocation,
    RevokedKind,
)
from parley_contracts.policy import Role
from parley_gateway import revoked as revoked_module
from parley_gateway.known_principals import KnownPrincipals
from parley_gateway.revoked import Revoked
from parley_messaging.memory_bus import MemoryBus

from tests.unit.gateway.http_edge import until


class SlowAccounts:
    """Answers when a test lets it."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()

    async def check(self, _: CheckKey) -> KnownPrincipal:
        self.asked += 1
        await self.may_answer.wait()
        return KnownPrincipal(user_id="ada", role=Role.MEMBER, scopes=None, key_id="k1")


async def slow_accounts() -> tuple[SlowAccounts, KnownPrincipals, Revoked]:
    bus, service, revoked = MemoryBus(), SlowAccounts(), Revoked()
    bus.answer(subjects.ACCOUNTS_CHECK_KEY, CheckKey, service.check)
    return service, KnownPrincipals(bus, revoked), revoked


async def test_many_who_show_the_same_key_ask_once_also_when_the_first_leaves() -> None:
    service, known, _ = await slow_accounts()
    waiting = [asyncio.create_task(known.of_key("pk_x")) for _ in range(50)]
    await until(lambda: service.asked == 1)
    waiting[0].cancel()
    await until(lambda: service.asked == 2)
    service.may_answer.set()
    found = await asyncio.gather(*waiting[1:])
    assert {one.owner_id for one in found} == {"ada"}
    assert service.asked == 2
    await known.of_key("pk_x")
    assert service.asked == 2


async def test_an_answer_that_was_given_before_a_revocation_is_not_remembered() -> None:
    service, known, revoked = await slow_accounts()
    asking = asyncio.create_task(known.of_key("pk_x"))
    await until(lambda: service.asked == 1)
    now_ms = time.time_ns() // 1_000_000
    revoked.add(
        Revocation(id="r", kind=RevokedKind.KEY, revoked_id="k1", at_ms=now_ms, expires_at_ms=now_ms + 60_000)
    )
    service.may_answer.set()
    await asking
    await known.of_key("pk_x")
    assert service.asked == 2


def test_revocations_that_have_expired_are_forgotten_and_the_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    revoked, now_ms = Revoked(), 1_000
    monkeypatch.setattr(revoked_module, "now_ms", lambda: now_ms)

    def revocation(number: int, lasts_ms: int) -> Revocation:
        return Revocation(
            id=str(number),
            kind=RevokedKind.SESSION,
            revoked_id=f"s{number}",
            at_ms=now_ms,
            expires_at_ms=now_ms + lasts_ms,
        )

    for number in range(999):
        revoked.add(revocation(number, 1))
    assert len(revoked) == 999
    now_ms += 1
    revoked.add(revocation(999, 60_000))
    assert len(revoked) == 1
