"""Where a waiting turn stands, told to those who watch it, and to them alone."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest
from parley_contracts import subjects
from parley_contracts.client_frames import QueuePosition
from parley_contracts.turns import TurnRef
from parley_gateway import waiting_turns
from parley_gateway.position_watches import PositionWatches
from parley_gateway.waiting_turns import WaitingTurns
from parley_messaging.bus import Bus, Delivery, QueueState
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.queues import TURNS, llm_jobs
from parley_messaging.turn_watch import TurnWatch

from tests.unit.gateway.rig import OWNER, running

WAIT_S = 5.0
POOL = llm_jobs("scripted")


@pytest.fixture
async def memory_bus() -> AsyncGenerator[MemoryBus]:
    bus = MemoryBus()
    yield bus
    await bus.close()


@pytest.fixture(autouse=True)
def tells_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_turns, "FIRST_S", 0.0)
    monkeypatch.setattr(waiting_turns, "CHANGE_S", 0.0)


def do_nothing() -> None:
    """Need no waking: the tests read the queues."""


def turn(name: str) -> TurnRef:
    return TurnRef(turn_id=f"id-{name}", client_turn_id=name, owner_id="o", home="home")


class Told:
    """The positions that were published, as `name position`."""

    def __init__(self) -> None:
        self.places: list[str] = []

    async def take(self, delivery: Delivery) -> None:
        found = QueuePosition.model_validate_json(delivery.data)
        self.places.append(f"{found.turn_id} {found.position}")


async def told_by(bus: Bus, waiting: WaitingTurns, state: QueueState) -> list[str]:
    """Return what is published for one reading of the pool's queue."""
    told, heard = Told(), asyncio.Event()
    subscription = await bus.subscribe(subjects.ALL_TURN_QUEUES, told.take)

    async def hear(_: Delivery) -> None:
        heard.set()

    last = await bus.subscribe("test.last", hear)
    await waiting.tell({POOL: state})
    await bus.publish("test.last", b"")
    async with asyncio.timeout(WAIT_S):
        await heard.wait()
    for one in (subscription, last):
        await one.unsubscribe()
    return told.places


async def test_each_turn_is_told_how_many_stand_before_it_until_it_is_taken(bus: Bus) -> None:
    await bus.start()
    waiting = WaitingTurns(bus, do_nothing)
    for number, name in enumerate("abc", start=11):
        waiting.add(POOL, number, turn(name), waits_for="model", after_seq=5)
    assert await told_by(bus, waiting, QueueState(3, 1, 10)) == ["a 1", "b 2", "c 3"]
    assert await told_by(bus, waiting, QueueState(3, 1, 10)) == []
    assert await told_by(bus, waiting, QueueState(1, 3, 12)) == ["c 1"]
    assert await told_by(bus, waiting, QueueState(0, 4, 13)) == []
    assert await told_by(bus, waiting, QueueState(3, 1, 10)) == []


class ForgetfulBus(MemoryBus):
    """Has every job forgotten but the one that is told its place."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.waiting = WaitingTurns(self, do_nothing)

    async def publish(self, subject: str, data: bytes, *, reply: str = "") -> None:
        self.told.append(QueuePosition.model_validate_json(data).turn_id)
        for stream_seq in (10, 12):
            self.waiting.forget(POOL, stream_seq)


async def test_a_turn_that_is_forgotten_while_another_is_told_its_place_is_told_nothing() -> None:
    bus = ForgetfulBus()
    for stream_seq, name in ((11, "a"), (12, "b"), (10, "taken")):
        bus.waiting.add(POOL, stream_seq, turn(name), waits_for="model", after_seq=5)
    await bus.waiting.tell({POOL: QueueState(3, 1, 10)})
    assert bus.told == ["a"]
    bus.waiting.forget(POOL, 11)
    assert not bus.waiting.queues
    await bus.close()


async def test_jobs_of_other_pools_are_not_counted(bus: Bus) -> None:
    await bus.start()
    waiting = WaitingTurns(bus, do_nothing)
    waiting.add(POOL, 900, turn("a"), waits_for="model", after_seq=5)
    assert await told_by(bus, waiting, QueueState(2, 1, 10)) == ["a 2"]


async def test_a_turn_that_waits_but_a_moment_is_told_nothing(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_turns, "FIRST_S", 60.0)
    await bus.start()
    waiting = WaitingTurns(bus, do_nothing)
    waiting.add(POOL, 11, turn("a"), waits_for="model", after_seq=5)
    assert await told_by(bus, waiting, QueueState(1, 1, 10)) == []


class Heard:
    """A watcher's frames."""

    def __init__(self) -> None:
        self.frames: list[QueuePosition] = []
        self.came = asyncio.Event()

    def take(self, frame: bytes) -> None:
        assert "seq" not in json.loads(frame)
        self.frames.append(QueuePosition.model_validate_json(frame))
        self.came.set()


@pytest.mark.parametrize("home", ["home", "elsewhere"])
async def test_a_place_reaches_watchers_anywhere_until_a_later_event_does(bus: Bus, home: str) -> None:
    await bus.start()
    positions = PositionWatches(bus, home)
    await positions.start()
    ref = turn("a")
    watch, heard = TurnWatch("s", 5, lambda *_: None), Heard()  # pyright: ignore[reportUnknownLambdaType,reportUnknownArgumentType] - nothing is heard
    await positions.hear(ref.home, ref.turn_id, watch, heard.take)
    waiting = WaitingTurns(bus, do_nothing)
    waiting.add(POOL, 13, ref, waits_for="model", after_seq=5)
    for last_delivered in (10, 11):
        heard.came.clear()
        await waiting.tell({POOL: QueueState(9, 1, last_delivered)})
        async with asyncio.timeout(WAIT_S):
            await heard.came.wait()
    assert [(frame.position, frame.waits_for) for frame in heard.frames] == [(3, "model"), (2, "model")]
    watch.last_seq = 6
    assert await told_by(bus, waiting, QueueState(9, 1, 12)) == ["a 1"]
    assert len(heard.frames) == 2
    await positions.forget(watch)
    await positions.forget(watch)


async def test_a_turn_waits_for_a_runner_and_then_for_the_model(memory_bus: MemoryBus) -> None:
    async with running(memory_bus, runs_turns=False, writes_answers=False) as rig:
        await rig.first.parts.models.list()
        accepted, seen = await rig.first.ask()
        heard = Heard()
        found = await rig.second.door.resume(OWNER, accepted.ref.client_turn_id, 0, seen.take)
        await rig.second.door.hear_positions(found, heard.take)
        async with asyncio.timeout(WAIT_S):
            await heard.came.wait()
        assert [frame.waits_for for frame in heard.frames] == ["runner"]
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(rig.second.loop.run())
            async with asyncio.timeout(WAIT_S):
                while len(heard.frames) < 2:
                    heard.came.clear()
                    await heard.came.wait()
            working.cancel()
        last = heard.frames[-1]
        assert (last.waits_for, last.position, last.turn_id) == ("model", 1, accepted.ref.client_turn_id)
        assert last.after_seq == found.watch.last_seq
        await rig.second.door.release(found.watch)
        assert (await memory_bus.queue_state(TURNS)).waiting == 0
