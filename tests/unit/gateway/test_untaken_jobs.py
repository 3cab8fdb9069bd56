"""A job that no worker takes: its turn ends within its time and says why, and the job leaves its queue."""

import asyncio
from typing import Any

import pytest
from parley_contracts.errors import ErrorCode
from parley_contracts.turn_events import TurnCancelled, TurnCompleted, TurnFailed
from parley_contracts.turns import PenClaim, PenRole, TokenUsage
from parley_messaging.bus import Bus
from parley_messaging.pen import new_nonce
from parley_messaging.queues import llm_jobs

from tests.unit.gateway.rig import OWNER, WAIT_S, Rig, running

POOL = llm_jobs("scripted")
KINDS = pytest.mark.parametrize("fields", [{}, {"collections": []}], ids=["gathers", "begins at once"])


async def until_waiting(rig: Rig, count: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while (await rig.bus.queue_state(POOL)).waiting != count:  # noqa: ASYNC110 - a queue tells nobody
            await asyncio.sleep(0.005)


@KINDS
async def test_a_turn_whose_pool_has_no_worker_fails_and_leaves_no_job(
    bus: Bus, fields: dict[str, Any]
) -> None:
    async with running(bus, writes_answers=False, gateway_turn_s=2) as rig:
        before = (await rig.bus.queue_state(POOL)).waiting
        accepted, seen = await rig.first.ask(**fields)
        await until_waiting(rig, before + 1)
        ended = await seen.ended()
        assert isinstance(ended, TurnFailed)
        assert (ended.code, ended.retryable) == (ErrorCode.UNAVAILABLE, True)
        assert "No worker" in ended.message
        assert rig.neighbours.stored[accepted.ref.turn_id].usage == TokenUsage()
        await until_waiting(rig, before)


async def test_a_turn_whose_worker_died_before_the_first_word_costs_what_was_asked(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley_gateway.turn_runner.WORKER_GRACE_S", 0.1)
    async with running(bus, writes_answers=False, gateway_turn_s=2) as rig:
        before = (await rig.bus.queue_state(POOL)).waiting
        accepted, seen = await rig.first.ask()
        await until_waiting(rig, before + 1)
        ref = accepted.ref
        claim = PenClaim(nonce=new_nonce(), role=PenRole.WORKER, holder="llm-1", home=ref.home)
        await rig.first.pen.claim(ref.turn_id, 2, claim)
        ended = await seen.ended()
        assert isinstance(ended, TurnFailed)
        assert ended.code is ErrorCode.TIMEOUT
        seal = rig.neighbours.stored[ref.turn_id]
        assert (seal.model, seal.usage) == ("scripted", TokenUsage.guessed(len("Who has the pen?"), 0))


@KINDS
async def test_a_turn_that_is_stopped_before_a_worker_took_it_leaves_no_job(
    bus: Bus, fields: dict[str, Any]
) -> None:
    async with running(bus, writes_answers=False) as rig:
        before = (await rig.bus.queue_state(POOL)).waiting
        accepted, seen = await rig.first.ask(**fields)
        await until_waiting(rig, before + 1)
        rig.first.stopper.see_to(await rig.first.door.cancel(OWNER, accepted.ref.client_turn_id))
        assert isinstance(await seen.ended(), TurnCancelled)
        await until_waiting(rig, before)


async def test_a_worker_that_comes_in_time_answers(bus: Bus) -> None:
    async with running(bus, writes_answers=False) as rig:
        before = (await rig.bus.queue_state(POOL)).waiting
        _, seen = await rig.first.ask()
        await until_waiting(rig, before + 1)
        working = asyncio.create_task(rig.worker_loop.run())
        assert isinstance(await seen.ended(), TurnCompleted)
        working.cancel()
        await asyncio.wait([working])
