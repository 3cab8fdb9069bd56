"""A client that comes back late gets the answer: from the log, from the seal, from memory, in that order."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turn_events import LAST_SEQ, TERMINAL_TYPES, frame_type
from parley_contracts.turns import StartTurn, TurnOutcome
from parley_gateway import ended_turns
from parley_gateway.principal import Principal
from parley_gateway.turn_door import AcceptedTurn
from parley_gateway.turn_ending import new_seal
from parley_messaging.bus import Bus
from parley_messaging.streams import TURN_EVENTS, TURN_PEN

from tests.unit.gateway.rig import OWNER, Rig, Seen, running
from tests.unit.messaging.purging import purge


@pytest.fixture(autouse=True)
def settles_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended_turns, "SETTLED_MS", 0)


async def ended_turn(rig: Rig) -> tuple[AcceptedTurn, Seen]:
    """Run a turn to the acknowledgement of its job."""
    accepted, seen = await rig.first.ask(turn_id=uuid4().hex)
    await seen.ended()
    async with asyncio.timeout(5):
        while await rig.bus.last_stored("TURNS", subjects.turn_start(accepted.ref.turn_id)):  # noqa: ASYNC110 - a stream tells nobody
            await asyncio.sleep(0.02)
    return accepted, seen


async def forget_log(rig: Rig, turn: AcceptedTurn) -> None:
    await purge(rig.bus, TURN_EVENTS, subjects.turn_events(turn.ref.home, turn.ref.turn_id))


async def forget_pen(rig: Rig, turn: AcceptedTurn) -> None:
    for number in (1, 2, 3):
        await purge(rig.bus, TURN_PEN, subjects.pen_slot(turn.ref.turn_id, number))


async def resumed(rig: Rig, first: AcceptedTurn, after_seq: int = 0) -> tuple[AcceptedTurn, list[Any]]:
    """Resume on the gateway that did not start the turn, and wait until there is nothing more to come."""
    seen = Seen()
    turn = await rig.second.door.resume(OWNER, first.ref.client_turn_id, after_seq, seen.take)
    async with asyncio.timeout(10):
        while not turn.watch.is_finished:  # noqa: ASYNC110 - a watch tells its sink only
            await asyncio.sleep(0.02)
    await rig.second.door.release(turn.watch)
    return turn, [json.loads(frame) for frame in seen.frames]


async def test_an_expired_log_is_answered_from_the_seal(bus: Bus) -> None:
    async with running(bus) as rig:
        first, seen = await ended_turn(rig)
        end = seen.events[-1]
        await forget_log(rig, first)
        turn, frames = await resumed(rig, first)
        [sync] = frames
        assert turn.conversation_id == first.conversation_id
        assert sync == {
            "seq": end.seq,
            "type": "sync",
            "turn_id": first.ref.client_turn_id,
            "conversation_id": first.conversation_id,
            "outcome": "completed",
            "text": "The pen passes on [1].",
            "citations": sync["citations"],
            "support": "cited",
        }
        assert [citation["n"] for citation in sync["citations"]] == [1]
        assert (await resumed(rig, first, after_seq=sync["seq"]))[1] == []


async def test_a_readable_log_is_read_and_not_replaced(bus: Bus) -> None:
    async with running(bus) as rig:
        first, seen = await ended_turn(rig)
        _, frames = await resumed(rig, first)
        assert [frame["type"] for frame in frames] == [frame_type(frame) for frame in seen.frames]
        assert frames[-1]["type"] in TERMINAL_TYPES


async def test_when_log_and_pen_have_expired_memory_is_asked(bus: Bus) -> None:
    async with running(bus) as rig:
        first, seen = await ended_turn(rig)
        await forget_log(rig, first)
        await forget_pen(rig, first)
        turn, [sync] = await resumed(rig, first)
        assert turn.conversation_id == first.conversation_id
        assert sync == {
            "seq": LAST_SEQ,
            "type": "sync",
            "turn_id": first.ref.client_turn_id,
            "conversation_id": first.conversation_id,
            "outcome": "completed",
            "text": seen.text,
            "citations": [],
            "support": "cited",
        }
        assert (await resumed(rig, first, after_seq=LAST_SEQ))[1] == []


async def refusal(rig: Rig, principal: Principal, turn_id: str) -> ParleyError:
    with pytest.raises(ParleyError) as refused:
        await rig.second.door.resume(principal, turn_id, 0, Seen().take)
    return refused.value


async def test_what_memory_keeps_for_somebody_else_is_not_there(bus: Bus) -> None:
    async with running(bus) as rig:
        first, _ = await ended_turn(rig)
        await forget_log(rig, first)
        await forget_pen(rig, first)
        foreign = await refusal(rig, Principal("somebody else"), first.ref.client_turn_id)
        unknown = await refusal(rig, OWNER, "never-asked")
        assert foreign.code is ErrorCode.NOT_FOUND
        assert foreign.body() == unknown.body()


async def test_while_memory_is_away_nobody_is_told_that_a_turn_is_gone(bus: Bus) -> None:
    async with running(bus) as rig:
        first, _ = await ended_turn(rig)
        await forget_log(rig, first)
        await forget_pen(rig, first)
        rig.neighbours.away.add("memory")
        refused = await refusal(rig, OWNER, first.ref.client_turn_id)
        assert (refused.code, refused.retryable) == (ErrorCode.UNAVAILABLE, True)


async def test_a_sealed_turn_whose_job_is_not_done_has_its_end_still_to_come(bus: Bus) -> None:
    async with running(bus, runs_turns=False) as rig:
        accepted, _ = await rig.first.ask(turn_id=uuid4().hex)
        ref, job = accepted.ref, subjects.turn_start(accepted.ref.turn_id)
        stored = await bus.last_stored("TURNS", job)
        assert stored is not None
        command = StartTurn.model_validate_json(stored.data)
        seal = new_seal(command, TurnOutcome.FAILED, text="", citations=(), last_seq=0)
        await rig.first.pen.claim(ref.turn_id, 1, seal)
        ended = ended_turns.EndedTurns(bus, rig.first.pen)
        assert await ended.find(ref) is None
        await purge(bus, "TURNS", job)
        sync = await ended.find(ref)
        assert sync is not None
        assert (sync.seq, sync.outcome) == (1_000_000, TurnOutcome.FAILED)
        await rig.first.door.release(accepted.watch)


async def test_a_turn_that_runs_is_not_replaced_by_what_it_has_so_far(bus: Bus) -> None:
    async with running(bus) as rig:
        rig.model.may_go_on.clear()
        first, seen = await rig.first.ask(turn_id=uuid4().hex)
        await seen.until(lambda so_far: bool(so_far.text))
        await forget_log(rig, first)
        late = Seen()
        turn = await rig.second.door.resume(OWNER, first.ref.client_turn_id, 0, late.take)
        rig.model.may_go_on.set()
        await seen.ended()
        async with asyncio.timeout(10):
            while not turn.watch.is_finished:  # noqa: ASYNC110 - a watch tells its sink only
                await asyncio.sleep(0.02)
        await rig.second.door.release(turn.watch)
        [sync] = [json.loads(frame) for frame in late.frames]
        assert (sync["type"], sync["text"]) == ("sync", seen.text)
