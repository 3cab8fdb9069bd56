"""Redelivered does not mean dead: holders say so when asked."""

import asyncio
from uuid import uuid4

from parley_contracts import subjects
from parley_contracts.turns import PenRole
from parley_messaging.bus import Bus, Delivery
from parley_messaging.holds import Holds
from parley_messaging.memory_bus import MemoryBus


async def holding(bus: Bus, role: PenRole = PenRole.RUNNER) -> Holds:
    holds = Holds(bus, f"holder-{uuid4().hex}", role)
    await holds.start()
    return holds


async def asked_by(holds: Holds, turn_id: str) -> bool:
    """Ask as those do who may ask: holding the turn themselves."""
    with holds.hold(turn_id):
        return await holds.is_held_by_another(turn_id)


async def test_a_turn_held_by_another_process_is_held_until_it_lets_go(bus: Bus) -> None:
    await bus.start()
    holder, asker, turn_id = await holding(bus), await holding(bus), uuid4().hex
    with holder.hold(turn_id):
        assert await asked_by(asker, turn_id)
    assert not await asked_by(asker, turn_id)


async def test_a_turn_held_by_this_very_process_is_held(bus: Bus) -> None:
    await bus.start()
    holds, turn_id = await holding(bus), uuid4().hex
    with holds.hold(turn_id):
        assert await asked_by(holds, turn_id)


async def test_a_holder_in_the_other_role_stays_silent(bus: Bus) -> None:
    await bus.start()
    worker, runner, turn_id = await holding(bus, PenRole.WORKER), await holding(bus), uuid4().hex
    with worker.hold(turn_id):
        assert not await asked_by(runner, turn_id)


async def test_a_turn_held_twice_is_held_until_both_have_let_go(bus: Bus) -> None:
    await bus.start()
    holds, turn_id = await holding(bus), uuid4().hex
    with holds.hold(turn_id):
        with holds.hold(turn_id):
            pass
        assert await asked_by(holds, turn_id)
    assert not await asked_by(holds, turn_id)


async def test_two_that_ask_do_not_take_each_other_for_the_one_they_ask_for(bus: Bus) -> None:
    await bus.start()
    first, second, turn_id = await holding(bus), await holding(bus), uuid4().hex
    both = await asyncio.gather(*(asked_by(holds, turn_id) for holds in (first, second, second)))
    assert both == [False, False, False]


async def test_one_who_has_asked_holds_the_turn_again(bus: Bus) -> None:
    await bus.start()
    first, second, turn_id = await holding(bus), await holding(bus), uuid4().hex
    with first.hold(turn_id):
        await first.is_held_by_another(turn_id)
        assert await asked_by(second, turn_id)


async def test_a_holder_who_comes_back_to_the_bus_a_moment_later_is_heard() -> None:
    bus = MemoryBus()
    asker, holder = await holding(bus), Holds(bus, "late", PenRole.RUNNER)
    is_asked = asyncio.Event()

    async def note(_: Delivery) -> None:
        is_asked.set()

    await bus.subscribe(subjects.ALL_HOLDS, note)
    bus.reconnect()
    with holder.hold("turn"):
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(asked_by(asker, "turn"))
            await is_asked.wait()
            await holder.start()
        assert asking.result()
    await bus.close()
