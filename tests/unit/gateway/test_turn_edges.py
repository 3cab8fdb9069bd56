"""Turns at the edge of what can happen: unreadable, too large, too late, superseded."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from functools import partial
from types import SimpleNamespace

import pytest
from parley_contracts import headers, subjects
from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import ListModels, ModelInfo, ModelList
from parley_contracts.memory import Stored, StoreTurn
from parley_contracts.turn_events import TurnCancelled, TurnCompleted, TurnFailed
from parley_contracts.turns import ChatMessage, PenClaim, PenRole, Seal, StartTurn, TurnOutcome
from parley_gateway import turn_runner
from parley_gateway.ids import OwnedIds
from parley_gateway.models import FRESH_S, USABLE_S, Models
from parley_gateway.principal import Principal
from parley_gateway.turn_ending import Sealing, new_seal
from parley_messaging.bus import Bus, NotStoredError, StoreAck
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.pen import new_nonce
from parley_messaging.work_loop import WorkLoop

from tests.integration.waiting import eventually
from tests.unit.gateway.rig import OWNER, WAIT_S, Rig, Seen, running


@pytest.fixture
async def memory_bus() -> AsyncGenerator[MemoryBus]:
    bus = MemoryBus()
    yield bus
    await bus.close()


async def command_of(rig: Rig) -> StartTurn:
    """Start a turn that nobody runs and return its command."""
    accepted, _ = await rig.first.ask()
    stored = await rig.bus.last_stored("TURNS", subjects.turn_start(accepted.ref.turn_id))
    assert stored is not None
    command = StartTurn.model_validate_json(stored.data)
    assert command.turn.turn_id == accepted.ref.turn_id
    return command


async def is_idle(bus: MemoryBus, loop: WorkLoop) -> bool:
    """Return whether nothing waits in a queue, and nothing of it is worked on."""
    state = await bus.queue_state(loop.queue)
    return state.waiting == state.running == loop.jobs_running == 0


async def test_a_turn_whose_command_cannot_be_read_still_ends(memory_bus: MemoryBus) -> None:
    async with running(memory_bus, runs_turns=False) as rig:
        command = await command_of(rig)
        bare = command.model_copy(update={"text": "-", "is_stored": False}).model_dump(mode="json")
        broken = Seen()
        other = command.turn.model_copy(update={"turn_id": "other", "client_turn_id": "broken"})
        bare["turn"] = other.model_dump()
        rig.first.parts.watches.open_new("other", broken.take)
        await memory_bus.store(subjects.turn_start("other"), b"{", headers={headers.TURN: json.dumps(bare)})
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(rig.first.loop.run())
            ended = await broken.ended()
            working.cancel()
        assert isinstance(ended, TurnFailed)
        assert (ended.turn_id, ended.code) == ("broken", ErrorCode.INTERNAL)


@pytest.mark.parametrize("turn_id", ["a b", "a.b", ">", ""], ids=["space", "dot", "wildcard", "nothing"])
async def test_a_turn_whose_id_no_subject_carries_is_not_tried_again(
    memory_bus: MemoryBus, turn_id: str
) -> None:
    async with running(memory_bus, runs_turns=False) as rig:
        command = (await command_of(rig)).model_dump(mode="json")
        command["turn"]["turn_id"] = turn_id
        said = json.dumps(command)
        await memory_bus.store(subjects.turn_start("said"), said.encode(), headers={headers.TURN: said})
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(rig.first.loop.run())
            await eventually(partial(is_idle, memory_bus, rig.first.loop), within_s=WAIT_S)
            working.cancel()


async def test_an_unreadable_turn_whose_pen_somebody_has_is_not_tried_for_ever(
    memory_bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_runner, "MAX_UNREAD", 2)
    async with running(memory_bus, runs_turns=False) as rig:
        command = await command_of(rig)
        ref = command.turn.model_copy(update={"turn_id": "held"})
        claim = PenClaim(nonce=new_nonce(), role=PenRole.RUNNER, holder="gone", home=ref.home)
        await rig.first.pen.claim("held", 1, claim)
        said = command.model_copy(update={"turn": ref}).model_dump_json()
        await memory_bus.store(subjects.turn_start("held"), b"{", headers={headers.TURN: said})
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(rig.first.loop.run())
            await eventually(partial(is_idle, memory_bus, rig.first.loop), within_s=WAIT_S)
            working.cancel()


async def test_a_turn_too_large_to_be_sealed_is_refused_at_the_door(
    memory_bus: MemoryBus,
) -> None:
    async with running(memory_bus, runs_turns=False) as rig:
        history = tuple(ChatMessage(role="user", content="x" * 100_000) for _ in range(40))
        frame = StartTurnFrame(type="start_turn", text="And now?")
        with pytest.raises(ParleyError) as caught:
            await rig.first.door.start(OWNER, frame, Seen().take, history=history)
        assert caught.value.code is ErrorCode.TOO_LARGE
        assert rig.first.parts.watches.open_watches == 0


async def test_a_failing_runner_does_not_end_the_turn_over_its_successors_head(memory_bus: MemoryBus) -> None:
    async with running(memory_bus, runs_turns=False, writes_answers=False) as rig:
        command = await command_of(rig)
        pen = rig.first.pen
        for number, holder in ((1, "stale"), (2, "successor")):
            claim = PenClaim(nonce=new_nonce(), role=PenRole.RUNNER, holder=holder, home="gateway-1")
            await pen.claim(command.turn.turn_id, number, claim)
        seal = new_seal(command, TurnOutcome.FAILED, text="", citations=(), last_seq=0)
        assert await rig.first.ending.seal(2, seal) is Sealing.A_RUNNER_HAS_IT
        stop = new_seal(command, TurnOutcome.CANCELLED, text="", citations=(), last_seq=0)
        assert await rig.first.ending.seal(2, stop) is Sealing.DONE
        records = await pen.read_all(command.turn.turn_id)
        assert [isinstance(record, Seal) for record in records] == [False, False, True]


async def test_models_that_do_not_answer_are_not_waited_for_by_everybody(bus: Bus) -> None:
    asked = 0

    async def fail(_: ListModels) -> ModelList:
        nonlocal asked
        asked += 1
        raise ParleyError(ErrorCode.UNAVAILABLE, "away")

    bus.answer(subjects.LLM_MODELS, ListModels, fail)
    await bus.start()
    models = Models(bus)
    for _ in range(10):
        assert (await models.choose(None)).id == "extractive"
    assert asked == 1
    with pytest.raises(ParleyError) as caught:
        await models.choose("ollama/whatever")
    assert caught.value.code is ErrorCode.UNAVAILABLE


async def test_a_turn_that_names_its_model_waits_a_moment_for_the_first_word_of_any(bus: Bus) -> None:
    model = ModelInfo(id="ollama/m", pool="ollama", context_tokens=4096, owned_by="test")
    is_away = [True]

    async def tell(_: ListModels) -> ModelList:
        if is_away and is_away.pop():
            raise ParleyError(ErrorCode.UNAVAILABLE, "away")
        return ModelList(models=(model,))

    bus.answer(subjects.LLM_MODELS, ListModels, tell)
    await bus.start()
    assert await Models(bus).choose(model.id) == model


async def test_a_turn_goes_by_the_models_last_told_of_and_has_them_asked_again_behind_its_back(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s, asked = time.monotonic(), asyncio.Queue[str]()
    may_answer = asyncio.Event()
    monkeypatch.setattr("parley_gateway.models.time", SimpleNamespace(monotonic=lambda: now_s))

    async def tell(_: ListModels) -> ModelList:
        await may_answer.wait()
        asked.put_nowait(told := f"m{asked.qsize() + 1}")
        return ModelList(models=(ModelInfo(id=told, pool="p", context_tokens=4096, owned_by="test"),))

    bus.answer(subjects.LLM_MODELS, ListModels, tell)
    await bus.start()
    models = Models(bus)
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(models.run())
        may_answer.set()
        assert (await models.choose(None)).id == "m1"
        may_answer.clear()
        now_s += FRESH_S
        assert (await models.choose(None)).id == "m1"
        may_answer.set()
        while models.known_pool("m2") is None:  # noqa: ASYNC110 - who asks again tells nobody
            await asyncio.sleep(0.005)
        now_s += USABLE_S
        assert (await models.choose(None)).id == "m3"
        # What nobody has told of yet is asked for at once.
        now_s += FRESH_S
        assert (await models.choose("m4")).id == "m4"
        running.cancel()


async def test_a_memory_that_hangs_does_not_hold_the_ending_back(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        forever = asyncio.Event()

        async def hang(_: StoreTurn) -> Stored:
            await forever.wait()
            return Stored(is_new=True)

        memory_bus.answer(subjects.MEMORY_STORE_TURN, StoreTurn, hang)
        _, seen = await rig.first.ask()
        ended = await seen.ended()
        assert isinstance(ended, TurnCompleted)
        assert ended.stored == "pending"


async def test_a_turn_that_still_waits_can_be_resumed_and_stopped(memory_bus: MemoryBus) -> None:
    async with running(memory_bus, runs_turns=False) as rig:
        accepted, _ = await rig.first.ask()
        mine = accepted.ref.client_turn_id
        resumed = Seen()
        found = await rig.second.door.resume(OWNER, mine, 0, resumed.take)
        assert found.conversation_id == accepted.conversation_id
        rig.second.stopper.see_to(await rig.second.door.cancel(OWNER, mine))
        ended = await resumed.ended()
        assert isinstance(ended, TurnCancelled)
        with pytest.raises(ParleyError) as caught:
            await rig.second.door.cancel(Principal("somebody-else"), mine)
        assert caught.value.code is ErrorCode.NOT_FOUND


async def test_an_address_longer_than_a_browser_takes_costs_the_turn_that_page_only(
    memory_bus: MemoryBus,
) -> None:
    async with running(memory_bus) as rig:
        _, seen = await rig.first.ask(f"Read https://example.org/{'a' * 5000}", web=True)
        ended = await seen.ended()
        assert isinstance(ended, TurnCompleted)
        assert ended.degraded == ("browser",)


async def test_a_turn_is_accepted_only_when_it_is_stored(memory_bus: MemoryBus) -> None:
    async with running(memory_bus, runs_turns=False) as rig:

        async def refuse(*_: object, **__: object) -> StoreAck:
            raise NotStoredError("no acknowledgement")

        memory_bus.store = refuse  # type: ignore[method-assign]  # a bus that takes nothing
        with pytest.raises(ParleyError) as caught:
            await rig.first.ask()
        assert (caught.value.code, caught.value.retryable) == (ErrorCode.UNAVAILABLE, True)
        assert rig.first.parts.watches.open_watches == 0


async def test_a_gateway_that_stops_takes_no_more_turns(memory_bus: MemoryBus) -> None:
    async with running(memory_bus, runs_turns=False) as rig:
        rig.first.door.is_closed = True
        with pytest.raises(ParleyError) as caught:
            await rig.first.ask()
        assert caught.value.code is ErrorCode.UNAVAILABLE


async def test_a_conversation_of_somebody_else_is_not_found(memory_bus: MemoryBus) -> None:
    async with running(memory_bus, runs_turns=False) as rig:
        for conversation_id in (OwnedIds(b"secret").new_conversation_id("somebody-else"), "made-up"):
            with pytest.raises(ParleyError) as caught:
                await rig.first.ask(conversation_id=conversation_id)
            assert (caught.value.code, caught.value.field) == (ErrorCode.NOT_FOUND, "conversation_id")
