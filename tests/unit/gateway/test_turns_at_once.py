"""Turns with nothing to gather: their runner makes no claim, and their worker the first."""

import asyncio

import pytest
from parley_contracts import subjects
from parley_contracts.turn_events import (
    TurnCancelled,
    TurnCompleted,
    frame_seq,
)
from parley_contracts.turns import EPOCH_SPAN, PenClaim, PenRole, Seal
from parley_gateway.turn_door import AcceptedTurn
from parley_messaging.bus import Bus, JobOutcome
from parley_messaging.holds import Holds
from parley_messaging.message_headers import now_ms
from parley_messaging.pen import new_nonce
from parley_messaging.queues import TURNS, llm_jobs

from tests.unit.gateway.rig import ANSWER, OWNER, WAIT_S, Rig, running
from tests.unit.lone_delivery import LoneDelivery


async def test_a_turn_with_nothing_to_gather_is_claimed_and_its_log_opened_by_its_worker(bus: Bus) -> None:
    async with running(bus) as rig:
        accepted, seen = await rig.first.ask(collections=[])
        ended = await seen.ended()
        assert seen.types[:4] == ["epoch_started", "context_ready", "stage_changed", "text_delta"]
        assert [frame_seq(frame) // EPOCH_SPAN for frame in seen.frames] == [1] * 7 + [2]
        assert isinstance(ended, TurnCompleted)
        assert ended.timings.context_ready_ms is not None
        first, seal = await rig.first.pen.read_all(accepted.ref.turn_id)
        assert isinstance(first, PenClaim)
        assert first.command is not None
        assert (first.role, first.command.text) == (PenRole.WORKER, "Who has the pen?")
        assert isinstance(seal, Seal)


async def test_such_a_turn_whose_runner_died_is_followed_by_another(bus: Bus) -> None:
    async with running(bus, runs_turns=False) as rig:
        rig.model.may_go_on.clear()
        _, seen = await rig.first.ask(collections=[])
        ended = await rig.ended_by_another(seen)
        assert isinstance(ended, TurnCompleted)
        assert seen.text == ANSWER
        assert len(rig.model.calls) == 1


async def test_such_a_turn_whose_runner_died_before_it_sent_the_job_is_begun_again(bus: Bus) -> None:
    async with running(bus, runs_turns=False) as rig:
        accepted, seen = await rig.first.ask(collections=[])
        source = await bus.open_jobs(TURNS)
        died_with = await source.fetch(WAIT_S)
        assert died_with is not None
        await source.close()
        await died_with.release(0)
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(rig.second.loop.run())
            assert isinstance(await seen.ended(), TurnCompleted)
            working.cancel()
        records = await rig.first.pen.read_all(accepted.ref.turn_id)
        assert [getattr(record, "holder", record.type) for record in records] == [
            "gateway-2",
            "llm-1",
            "seal",
        ]


async def test_such_a_turn_that_comes_again_while_its_runner_lives_is_left_to_him(bus: Bus) -> None:
    async with running(bus, writes_answers=False) as rig:
        accepted, seen = await rig.first.ask(collections=[])
        command = await waiting_command(rig, accepted)
        while (await rig.bus.queue_state(llm_jobs("scripted"))).waiting == 0:  # noqa: ASYNC110 - a queue tells nobody
            await asyncio.sleep(0.005)
        delivery = LoneDelivery(command, subjects.turn_start(accepted.ref.turn_id), deliveries=2)
        async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
            assert await rig.second.parts.runner.work(delivery) is JobOutcome.LEAVE
            assert await rig.first.pen.read_all(accepted.ref.turn_id) == []
            working = tasks.create_task(rig.worker_loop.run())
            assert isinstance(await seen.ended(), TurnCompleted)
            working.cancel()


async def test_a_runner_without_a_claim_gives_way_to_one_that_has_claimed_the_turn(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley_gateway.turn_runner.LOOK_S", 0.05)
    async with running(bus, runs_turns=False, writes_answers=False) as rig:
        accepted, seen = await rig.first.ask(collections=[])
        command = await waiting_command(rig, accepted)
        delivery = LoneDelivery(command, subjects.turn_start(accepted.ref.turn_id))
        async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
            following = tasks.create_task(rig.second.parts.runner.work(delivery))
            claim = PenClaim(nonce=new_nonce(), role=PenRole.RUNNER, holder="gateway-3", home="gateway-1")
            other = Holds(bus, "gateway-3", PenRole.RUNNER)
            await other.start()
            with other.hold(accepted.ref.turn_id):
                await rig.first.pen.claim(accepted.ref.turn_id, 1, claim)
                assert await following is JobOutcome.RETRY
            # Gone without a word, he is taken over from.
            working = [tasks.create_task(loop.run()) for loop in (rig.first.loop, rig.worker_loop)]
            assert isinstance(await seen.ended(), TurnCompleted)
            for task in working:
                task.cancel()


async def waiting_command(rig: Rig, accepted: AcceptedTurn) -> bytes:
    """Return a turn's command as it stands in the queue, whether somebody works on it or not."""
    stored = await rig.bus.last_stored(TURNS.stream, subjects.turn_start(accepted.ref.turn_id))
    assert stored is not None
    return stored.data


@pytest.fixture
def nothing_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every job be older than those whose model is asked before the pen is won."""
    monkeypatch.setattr("parley_llm.worker.EARLY_MS", 0)


@pytest.mark.usefixtures("nothing_is_new")
async def test_a_repeat_that_is_run_long_after_its_turn_says_how_that_ended(bus: Bus) -> None:
    async with running(bus) as rig:
        accepted, seen = await rig.first.ask(collections=[])
        await seen.ended()
        [first, *_] = await rig.first.pen.read_all(accepted.ref.turn_id)
        assert isinstance(first, PenClaim)
        assert first.command is not None
        ref = first.command.turn.model_copy(update={"home": "gateway-2"})
        command = first.command.model_copy(update={"turn": ref, "accepted_at_ms": now_ms()})
        delivery = LoneDelivery(command.model_dump_json().encode(), subjects.turn_start(ref.turn_id))
        async with asyncio.timeout(WAIT_S):
            assert await rig.second.parts.runner.work(delivery) is JobOutcome.DONE
        assert len(rig.model.calls) == 1


@pytest.mark.usefixtures("nothing_is_new")
async def test_a_turn_with_nothing_to_gather_that_was_stopped_while_it_waited_asks_no_model(bus: Bus) -> None:
    async with running(bus, runs_turns=False) as rig, asyncio.TaskGroup() as tasks:
        accepted, seen = await rig.first.ask(collections=[])
        await rig.first.door.cancel(OWNER, accepted.ref.client_turn_id)
        working = tasks.create_task(rig.first.loop.run())
        assert isinstance(await seen.ended(), TurnCancelled)
        assert rig.model.calls == []
        working.cancel()
