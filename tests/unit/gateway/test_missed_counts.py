"""What the shared ledger was not told of: made up for by whoever knows it, and at nobody else's cost."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Role
from parley_contracts.turns import StartTurn, TurnRef
from parley_contracts.usage import ReadTotals
from parley_gateway import turn_quotas
from parley_gateway.principal import Principal
from parley_limits import OpenTurn, Outcome
from parley_messaging.message_headers import now_ms

from tests.unit.gateway.rig import Seen
from tests.unit.gateway.test_turn_quotas import ADA, Counted, open_counted

ONE_GUESS: dict[str, Any] = {
    "gateway_quota_member_day": "tokens=1500",
    "gateway_quota_answer_tokens": 1000,
}
"""A quota for what one turn is expected to spend, and not for two."""


async def end_unheard(counted: Counted) -> None:
    """Have a turn of the first gateway end while the shared ledger hears nothing."""
    counted.rig.model.may_go_on.clear()
    seen = await counted.ask(counted.rig.first, "t")
    assert isinstance(seen, Seen)
    counted.shared.ledger.is_away = True
    counted.rig.model.may_go_on.set()
    await seen.ended()
    await counted.spent(1)
    counted.shared.ledger.is_away = False


def asked_by_ada(turn_id: str) -> StartTurn:
    """Return the command of a turn that is accepted now."""
    at_ms = now_ms()
    return StartTurn(
        turn=TurnRef(turn_id=turn_id, client_turn_id=turn_id, owner_id="ada", home="gateway-1"),
        conversation_id="c",
        continues_conversation=False,
        text="Who?",
        accepted_at_ms=at_ms,
        deadline_ms=at_ms + 60_000,
    )


async def test_one_answer_that_does_not_come_has_only_its_own_place_counted_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_counted(tmp_path, gateway_quota_member_day="turns=4") as counted:
        counted.rig.model.may_go_on.clear()
        gateway, bus = counted.rig.first, counted.rig.bus
        users = [Principal(f"user-{number}", Role.MEMBER) for number in range(10)]
        for user in (ADA, *users):
            assert isinstance(await counted.ask(gateway, "t0", user), Seen)
        read: list[str] = []
        request = bus.request

        async def noting(subject: str, asked: Any, *words: Any, **named: Any) -> Any:
            if isinstance(asked, ReadTotals):
                read.extend(place.scope for place in asked.places)
            return await request(subject, asked, *words, **named)

        monkeypatch.setattr(bus, "request", noting)
        counted.shared.ledger.is_away = True
        assert isinstance(await counted.ask(gateway, "t1"), Seen)
        counted.shared.ledger.is_away = False
        read.clear()
        for user in users:
            assert isinstance(await counted.ask(gateway, "t1", user), Seen)
        assert isinstance(await counted.ask(gateway, "t2"), Seen)
        assert read == ["user:ada"]
        # What was let in meanwhile is reserved for all to see.
        more = [await counted.ask(counted.rig.second, f"more{number}") for number in range(3)]
        assert [isinstance(one, Seen) for one in more] == [True, False, False]
        counted.rig.model.may_go_on.set()
        assert (await counted.spent(24)).total.turns == 24


async def test_an_end_that_the_ledger_was_not_told_of_is_told_when_it_answers(tmp_path: Path) -> None:
    async with open_counted(tmp_path, **ONE_GUESS) as counted:
        await end_unheard(counted)
        # Its guess is given back, and not when its time is over.
        assert isinstance(await counted.ask(counted.rig.first, "next"), Seen)


async def test_an_end_that_the_ledger_was_not_told_of_is_told_also_by_a_gateway_that_is_asked_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_quotas, "TELL_EVERY_S", 0.01)
    async with open_counted(tmp_path, **ONE_GUESS) as counted:
        # The first gateway alone runs turns, and so is who could not tell.
        first, second = counted.rig.first, counted.rig.second
        await end_unheard(counted)
        assert await counted.ask(second, "early") is ErrorCode.QUOTA_EXCEEDED
        assert first.door.limits.quotas is not None
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(first.door.limits.quotas.run())
            while not isinstance(await counted.ask(second, "next"), Seen):  # noqa: ASYNC110 - a ledger tells nobody
                await asyncio.sleep(0.01)
            telling.cancel()


@pytest.mark.parametrize("is_running", [True, False], ids=["a turn runs", "none runs"])
async def test_a_gateway_that_has_lost_sight_of_redis_stops_no_other_while_accounts_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_running: bool
) -> None:
    async with open_counted(tmp_path, gateway_quota_member_day="turns=4") as counted:
        first, second, bus = counted.rig.first, counted.rig.second, counted.rig.bus
        before = await counted.ask(second, "before")
        assert isinstance(before, Seen)
        await before.ended()
        await counted.spent(1)
        if is_running:
            counted.rig.model.may_go_on.clear()
            assert isinstance(await counted.ask(second, "running"), Seen)
        request, is_away = bus.request, True

        async def ask(subject: str, asked: Any, *words: Any, **named: Any) -> Any:
            if is_away and isinstance(asked, ReadTotals):
                raise ParleyError(ErrorCode.UNAVAILABLE, "Accounts is away.")
            return await request(subject, asked, *words, **named)

        monkeypatch.setattr(bus, "request", ask)
        assert first.door.limits.quotas is not None
        ledger = first.door.limits.quotas._ledger  # pyright: ignore[reportPrivateUsage] - it is told below
        # As five calls in vain have it.
        ledger.missed.lose()
        assert await counted.ask(first, "a") is ErrorCode.UNAVAILABLE
        assert isinstance(await counted.ask(second, "b"), Seen)
        is_away = False
        # What was let in meanwhile is known to both when it can be counted again.
        more = [await counted.ask(first, f"c{number}") for number in range(3)]
        left = 1 if is_running else 2
        assert [isinstance(one, Seen) for one in more] == [number < left for number in range(3)]
        counted.rig.model.may_go_on.set()
        assert (await counted.spent(4)).total.turns == 4


async def test_a_turn_that_is_given_back_while_it_is_told_of_stays_so(tmp_path: Path) -> None:
    async with open_counted(tmp_path, runs_turns=False, gateway_quota_member_day="turns=2") as counted:
        door, shared = counted.rig.first.door, counted.shared
        quotas = door.limits.quotas
        assert quotas is not None
        command = asked_by_ada("refused")
        claim = quotas.spending.claim(command, ADA.role, None)
        assert claim is not None
        shared.ledger.is_away = True
        assert (await quotas.reserve((), claim)).outcome is Outcome.RESERVED
        shared.ledger.is_away = False
        adopt, has_begun = shared.ledger.adopt, asyncio.Event()

        async def adopt_slowly(turns: Sequence[OpenTurn]) -> None:
            has_begun.set()
            # Whoever may go first has done so by now.
            for _ in range(20):
                await asyncio.sleep(0)
            await adopt(turns)

        shared.ledger.adopt = adopt_slowly
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(counted.ask(counted.rig.first, "next"))
            await has_begun.wait()
            await quotas.release(claim)
        assert isinstance(await counted.ask(counted.rig.second, "last"), Seen)
