"""An outside service asks for turns on its own subject and follows them itself."""

import asyncio

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.submissions import SubmitTurn, TurnSubmitted
from parley_contracts.turn_events import TurnCompleted
from parley_gateway.handlers import Submissions
from parley_gateway.ids import OwnedIds
from parley_messaging.bus import Delivery
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.queues import TURNS

from tests.unit.gateway.rig import OWNER, Rig, Seen, running

USER = "ext-shop"


def answering(rig: Rig) -> None:
    rig.bus.answer(subjects.ALL_SUBMITS, SubmitTurn, Submissions(rig.first.door).submit)


async def submitted(rig: Rig, user: str = USER, **fields: object) -> TurnSubmitted:
    question = {"owner_id": OWNER.owner_id, "text": "Who has the pen?", **fields}
    return await rig.bus.request(
        subjects.turn_submit(user), SubmitTurn.model_validate(question), TurnSubmitted, timeout_s=10
    )


async def test_the_events_of_a_submitted_turn_go_to_whoever_asked() -> None:
    seen, others = Seen(), list[bytes]()

    async def hear(delivery: Delivery) -> None:
        seen.take(delivery.data, 0)

    async def hear_other(delivery: Delivery) -> None:
        others.append(delivery.data)

    bus = MemoryBus()
    async with running(bus) as rig:
        answering(rig)
        rig.model.may_go_on.set()
        await bus.subscribe(subjects.turn_events_of(USER), hear)
        await bus.subscribe(subjects.turn_events_of("gateway-1"), hear_other)
        found = await submitted(rig, turn_id="order-1")
        ended = await seen.ended()
        assert (found.turn.home, found.turn.client_turn_id) == (USER, "order-1")
        assert isinstance(ended, TurnCompleted)
        assert seen.text
        assert not others
    await bus.close()


async def test_a_turn_submitted_again_is_the_same_turn_unless_it_asks_something_else() -> None:
    bus = MemoryBus()
    async with running(bus, runs_turns=False) as rig:
        answering(rig)
        first = await submitted(rig, turn_id="order-1")
        assert await submitted(rig, turn_id="order-1") == first
        with pytest.raises(ParleyError) as caught:
            await submitted(rig, turn_id="order-1", text="And something else?")
        assert caught.value.code is ErrorCode.CONFLICT
    await bus.close()


async def test_a_repeat_from_somebody_else_says_where_the_events_stand() -> None:
    bus = MemoryBus()
    async with running(bus, runs_turns=False) as rig:
        answering(rig)
        await submitted(rig, turn_id="order-1")
        assert (await submitted(rig, "ext-other", turn_id="order-1")).turn.home == USER
    await bus.close()


async def test_a_repeat_of_an_ended_turn_is_the_same_turn_even_when_no_other_is_taken() -> None:
    bus = MemoryBus()
    async with running(bus) as rig:
        answering(rig)
        first = await submitted(rig, turn_id="order-1")
        async with asyncio.timeout(10):
            while await bus.last_stored(TURNS.stream, subjects.turn_start(first.turn.turn_id)):  # noqa: ASYNC110 - a stream tells nobody
                await asyncio.sleep(0.02)
        with pytest.raises(ParleyError) as caught:
            await submitted(rig, turn_id="order-1", text="And something else?")
        assert caught.value.code is ErrorCode.CONFLICT
        assert (await submitted(rig, "ext-other", turn_id="order-1")).turn == first.turn
        await bus.bound_queue(TURNS, 0)
        with pytest.raises(ParleyError) as caught:
            await submitted(rig, turn_id="order-2")
        assert caught.value.code is ErrorCode.OVERLOADED
        assert (await submitted(rig, turn_id="order-1")).turn == first.turn
    await bus.close()


async def test_a_repeat_of_a_waiting_turn_is_the_same_turn_when_its_model_is_gone() -> None:
    bus = MemoryBus()
    async with running(bus, runs_turns=False) as rig:
        answering(rig)
        first = await submitted(rig, turn_id="order-1", model="scripted")
        rig.neighbours.away.add("llm")
        models = rig.first.parts.models
        models._known, models._asked_s = (), float("-inf")  # pyright: ignore[reportPrivateUsage] - it has been told of none
        assert (await submitted(rig, turn_id="order-1", model="scripted")).turn == first.turn
    await bus.close()


async def test_a_conversation_that_is_not_the_owners_is_not_found() -> None:
    bus = MemoryBus()
    async with running(bus, runs_turns=False) as rig:
        answering(rig)
        for conversation_id in (OwnedIds(b"secret").new_conversation_id("somebody-else"), "made-up"):
            with pytest.raises(ParleyError) as caught:
                await submitted(rig, conversation_id=conversation_id)
            assert caught.value.code is ErrorCode.NOT_FOUND
    await bus.close()


async def test_a_gateway_that_stops_takes_no_submitted_turn() -> None:
    bus = MemoryBus()
    async with running(bus, runs_turns=False) as rig:
        answering(rig)
        rig.first.door.is_closed = True
        with pytest.raises(ParleyError) as caught:
            await submitted(rig)
        assert caught.value.code is ErrorCode.UNAVAILABLE
    await bus.close()
