"""Who is let in at the door, who is not, and when those are told to come back."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turn_events import frame_type
from parley_contracts.turns import ChatMessage
from parley_gateway.admission import Admission, Capacity
from parley_gateway.queue_lag import MAX_RETRY_S, UNKNOWN_RETRY_S, QueueLag
from parley_messaging.bus import QueueState
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.queues import TURNS, WorkQueue, llm_jobs
from parley_messaging.turn_watch import TurnWatch

from tests.unit.gateway.rig import OWNER, Gateway, Rig, running


@pytest.fixture
async def memory_bus() -> AsyncGenerator[MemoryBus]:
    bus = MemoryBus()
    yield bus
    await bus.close()


def ignore(_: bytes, __: int) -> None:
    """Take a frame that nobody looks at."""


class ScriptedBus(MemoryBus):
    """A bus whose queues stand as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.queues: dict[WorkQueue, QueueState] = {}
        self.was_read = asyncio.Event()

    async def queue_state(self, queue: WorkQueue) -> QueueState:
        self.was_read.set()
        return self.queues.get(queue, QueueState(0, 0, 0))


def limited(**limits: int) -> tuple[Admission, QueueLag, ScriptedBus]:
    bus = ScriptedBus()
    found = {"watched": 100, "total": 100, "waiting": 100, **limits}
    lag = QueueLag(bus, lambda: [llm_jobs("scripted")], max_turns=found["total"])
    return Admission(Capacity(**found), lag), lag, bus


async def read(lag: QueueLag, bus: ScriptedBus, **queues: QueueState) -> None:
    """Have the lag read the queues, `turns` and that of the pool `scripted`, once more."""
    names = {"turns": TURNS, "scripted": llm_jobs("scripted")}
    bus.queues = {names[name]: state for name, state in queues.items()}
    seen = asyncio.Event()

    async def tell(_: object) -> None:
        seen.set()

    lag.on_states(tell)
    lag.wake()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(lag.run())
        await seen.wait()
        reading.cancel()


def refusal(admission: Admission, pool: str | None = None) -> ParleyError:
    with pytest.raises(ParleyError) as caught:
        admission.check(pool)
    assert (caught.value.code, caught.value.retryable) == (ErrorCode.OVERLOADED, True)
    return caught.value


async def test_a_process_takes_as_many_turns_as_it_may_have_and_one_more_when_one_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admission, _, _ = limited(watched=3)
    watches = [TurnWatch("s", 0, ignore) for _ in range(2)]
    for watch in watches:
        admission.watch(watch)
    admission.check(None)
    with admission.entering():
        refusal(admission)
    admission.check(None)
    third = TurnWatch("s", 0, ignore)
    admission.watch(third)
    refusal(admission)
    admission.forget(third)
    admission.check(None)
    admission.watch(third)
    watches[0].is_finished = True
    monkeypatch.setattr("parley_gateway.admission.SWEEP_S", 0.0)
    admission.check(None)
    assert admission.refused == {"watched": 2, "total": 0, "waiting": 0}


async def test_turns_of_all_gateways_count_and_those_that_wait_count_for_their_pool_alone() -> None:
    admission, lag, bus = limited(total=10, waiting=4)
    await read(lag, bus, turns=QueueState(2, 7, 50), scripted=QueueState(2, 5, 40))
    admission.check(None)
    admission.check("another")
    refusal(admission, "scripted")
    await read(lag, bus, turns=QueueState(0, 10, 60), scripted=QueueState(0, 10, 50))
    refusal(admission)
    assert admission.refused == {"watched": 0, "total": 1, "waiting": 1}


async def test_a_refused_client_is_told_when_those_before_it_will_have_ended() -> None:
    admission, lag, bus = limited(waiting=4)
    await read(lag, bus, turns=QueueState(40, 2, 50))
    assert refusal(admission).retry_after_s == UNKNOWN_RETRY_S
    await asyncio.sleep(0.1)
    # Twenty turns in a little over a tenth of a second: forty take half a second at the most.
    await read(lag, bus, turns=QueueState(40, 2, 70))
    assert refusal(admission).retry_after_s == 1
    await read(lag, bus, turns=QueueState(1_000_000, 2, 70))
    assert refusal(admission).retry_after_s == MAX_RETRY_S


async def test_what_was_read_long_ago_refuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    admission, lag, bus = limited(total=1)
    await read(lag, bus, turns=QueueState(0, 1, 1))
    refusal(admission)
    monkeypatch.setattr("parley_gateway.queue_lag.FRESH_S", 0.0)
    admission.check(None)


async def test_queues_are_read_only_while_a_turn_is_in_flight() -> None:
    _, lag, bus = limited()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(lag.run())
        await asyncio.sleep(0)
        assert not bus.was_read.is_set()
        lag.wake()
        async with asyncio.timeout(5):
            await bus.was_read.wait()
        reading.cancel()


def bounded(rig: Rig, **limits: int) -> Gateway:
    """Return the first gateway of a rig after its limits were set."""
    found = {"watched": 100, "total": 100, "waiting": 100, **limits}
    rig.first.parts.admission._capacity = Capacity(**found)  # pyright: ignore[reportPrivateUsage] - the rig's are those of a real gateway
    return rig.first


async def test_a_full_queue_of_turns_refuses_a_new_one_and_joins_a_repeat(memory_bus: MemoryBus) -> None:
    async with running(memory_bus, runs_turns=False) as rig:
        await memory_bus.bound_queue(TURNS, 1)
        accepted, _ = await rig.first.ask(turn_id="mine")
        for gateway in (rig.first, rig.second):
            with pytest.raises(ParleyError) as caught:
                await gateway.ask(turn_id="another")
            assert caught.value.code is ErrorCode.OVERLOADED
            assert caught.value.retry_after_s is not None
            repeated, _ = await gateway.ask(turn_id="mine")
            assert (repeated.ref.turn_id, repeated.is_repeat) == (accepted.ref.turn_id, True)
        assert rig.first.parts.watches.open_watches == 2


async def test_a_repeat_of_an_ended_turn_is_joined_when_the_queue_is_full_and_its_model_gone(
    memory_bus: MemoryBus,
) -> None:
    async with running(memory_bus) as rig:
        accepted, seen = await rig.first.ask(turn_id="mine", model="scripted")
        await seen.ended()
        await memory_bus.bound_queue(TURNS, 0)
        rig.neighbours.away.add("llm")
        models = rig.second.parts.models
        models._known, models._asked_s = (), float("-inf")  # pyright: ignore[reportPrivateUsage] - it has been told of none
        with pytest.raises(ParleyError) as caught:
            await rig.second.ask(turn_id="another", model="scripted")
        assert caught.value.code is ErrorCode.UNAVAILABLE
        repeated, seen_again = await rig.second.ask(turn_id="mine", model="scripted")
        await seen_again.ended()
        assert repeated.conversation_id == accepted.conversation_id
        with pytest.raises(ParleyError) as caught:
            await rig.first.ask(turn_id="another", model="scripted")
        assert caught.value.code is ErrorCode.OVERLOADED


async def test_a_turn_waits_for_room_in_the_queue_of_its_model(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        await memory_bus.bound_queue(llm_jobs("scripted"), 0)
        _, seen = await rig.first.ask()
        await seen.until(lambda seen: any(frame_type(frame) == "context_ready" for frame in seen.frames))
        await memory_bus.bound_queue(llm_jobs("scripted"), 10)
        assert (await seen.ended()).type == "turn_completed"  # type: ignore[attr-defined]  # every event of the union has a type


async def test_a_repeat_is_joined_at_a_gateway_that_takes_no_more(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        rig.model.may_go_on.clear()
        accepted, _ = await rig.first.ask(turn_id="mine")
        gateway = bounded(rig, watched=1)
        with pytest.raises(ParleyError) as caught:
            await gateway.ask()
        assert caught.value.code is ErrorCode.OVERLOADED
        repeated, seen = await gateway.ask(turn_id="mine")
        assert repeated.conversation_id == accepted.conversation_id
        rig.model.may_go_on.set()
        assert (await seen.ended()).type == "turn_completed"  # type: ignore[attr-defined]  # every event of the union has a type
        assert len(rig.model.calls) == 1


async def test_a_released_turn_makes_room_although_it_goes_on(memory_bus: MemoryBus) -> None:
    async with running(memory_bus, runs_turns=False) as rig:
        gateway = bounded(rig, watched=1)
        accepted, _ = await gateway.ask()
        await gateway.door.release(accepted.watch)
        await gateway.ask()


@pytest.mark.parametrize(
    "other",
    [
        {"text": "Something else?"},
        {"model": "scripted"},
        {"collections": []},
        {"params": {"temperature": 0.5}},
        {"web": True},
    ],
    ids=lambda other: next(iter(other)),
)
@pytest.mark.parametrize("runs_turns", [False, True], ids=["waiting", "ended"])
async def test_the_same_turn_id_with_another_question_is_a_conflict(
    memory_bus: MemoryBus, other: dict[str, object], runs_turns: bool
) -> None:
    async with running(memory_bus, runs_turns=runs_turns) as rig:
        _, seen = await rig.first.ask(turn_id="mine")
        if runs_turns:
            await seen.ended()
        with pytest.raises(ParleyError) as caught:
            await rig.second.ask(**{"turn_id": "mine", **other})  # type: ignore[arg-type]  # the text is one of them
        assert (caught.value.code, caught.value.field) == (ErrorCode.CONFLICT, "turn_id")
        repeated, again = await rig.second.ask(turn_id="mine")
        assert repeated.is_repeat
        if runs_turns:
            await again.ended()
            assert again.frames == seen.frames
            assert len(rig.model.calls) == 1


async def test_another_history_is_another_question(memory_bus: MemoryBus) -> None:
    async with running(memory_bus, runs_turns=False) as rig:
        frame = {"type": "start_turn", "text": "And now?", "turn_id": "mine"}

        def said(text: str) -> tuple[ChatMessage, ...]:
            return (ChatMessage(role="user", content=text),)

        asked = StartTurnFrame.model_validate(frame)
        first = await rig.first.door.start(OWNER, asked, ignore, history=said("One."))
        again = await rig.first.door.start(OWNER, asked, ignore, history=said("One."))
        assert again.accepted_at_ms == first.accepted_at_ms
        with pytest.raises(ParleyError) as caught:
            await rig.first.door.start(OWNER, asked, ignore, history=said("Two."))
        assert caught.value.code is ErrorCode.CONFLICT


async def test_the_limit_of_turns_is_set_on_the_queue_itself(memory_bus: MemoryBus) -> None:
    async with running(memory_bus, runs_turns=False) as rig:
        rig.first.parts.lag._max_turns = 1  # pyright: ignore[reportPrivateUsage] - the rig's is that of a real gateway
        await rig.first.parts.lag.start()
        await rig.first.ask()
        with pytest.raises(ParleyError) as caught:
            await rig.second.ask()
        assert caught.value.code is ErrorCode.OVERLOADED
