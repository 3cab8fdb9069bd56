"""Redelivered does not mean dead: holders say so when asked."""

from uuid import uuid4

from parley_contracts.turns import PenRole
from parley_messaging.bus import Bus
from parley_messaging.holds import Holds


async def holding(bus: Bus, role: PenRole = PenRole.RUNNER) -> Holds:
    holds = Holds(bus, f"holder-{uuid4().hex}", role)
    await holds.start()
    return holds


async def test_a_turn_held_by_another_process_is_held_until_it_lets_go(bus: Bus) -> None:
    await bus.start()
    holder, asker, turn_id = await holding(bus), await holding(bus), uuid4().hex
    with holder.hold(turn_id):
        assert await asker.is_held(turn_id)
    assert not await asker.is_held(turn_id)


async def test_a_turn_held_by_this_very_process_is_held(bus: Bus) -> None:
    await bus.start()
    holds, turn_id = await holding(bus), uuid4().hex
    with holds.hold(turn_id):
        assert await holds.is_held(turn_id)


async def test_a_holder_in_the_other_role_stays_silent(bus: Bus) -> None:
    await bus.start()
    worker, runner, turn_id = await holding(bus, PenRole.WORKER), await holding(bus), uuid4().hex
    with worker.hold(turn_id):
        assert not await runner.is_held(turn_id)


async def test_a_turn_held_twice_is_held_until_both_have_let_go(bus: Bus) -> None:
    await bus.start()
    holds, turn_id = await holding(bus), uuid4().hex
    with holds.hold(turn_id):
        with holds.hold(turn_id):
            pass
        assert await holds.is_held(turn_id)
    assert not await holds.is_held(turn_id)
