"""Stops end the work on their turn at once."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_messaging.bus import Bus, StoreAck, StoredMessage
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.stops import READS_AT_ONCE, Stops

WAIT_S = 5.0


async def hearing(bus: Bus) -> Stops:
    await bus.start()
    stops = Stops(bus)
    await stops.start()
    return stops


async def until(is_so: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    end_s = loop.time() + WAIT_S
    while not is_so():
        # Not a TimeoutError: that is what a stop is seen by here.
        assert loop.time() < end_s
        await asyncio.sleep(0.005)


async def work(stops: Stops, turn_id: str, last_steps: Callable[[], Awaitable[None]] | None = None) -> None:
    """Work on a turn until it is stopped; TimeoutError is what its clock raises then."""
    async with asyncio.timeout(WAIT_S) as clock:
        with stops.expiring(turn_id, clock):
            try:
                await asyncio.Event().wait()
            finally:
                if last_steps:
                    await last_steps()


async def stopped(stops: Stops, turn_id: str, began_s: float) -> bool:
    """Return whether the work on a turn ends because of a stop, and not by its own clock."""
    with pytest.raises(TimeoutError):
        await work(stops, turn_id)
    return asyncio.get_running_loop().time() - began_s < WAIT_S


async def test_a_stop_expires_the_clock_of_its_turn(bus: Bus) -> None:
    stops, turn_id = await hearing(bus), uuid4().hex
    began_s = asyncio.get_running_loop().time()
    with stops.following(turn_id):
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(stopped(stops, turn_id, began_s))
            await bus.store(subjects.turn_cancel(turn_id), b"stop")
        assert working.result()
        assert stops.is_stopped(turn_id)


async def test_a_stop_that_came_before_the_clock_expires_it_too(bus: Bus) -> None:
    stops, turn_id = await hearing(bus), uuid4().hex
    with stops.following(turn_id):
        await bus.store(subjects.turn_cancel(turn_id), b"stop")
        await until(lambda: stops.is_stopped(turn_id))
        assert await stopped(stops, turn_id, asyncio.get_running_loop().time())


async def test_a_second_stop_while_the_first_is_obeyed_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus, turn_id, other = MemoryBus(), uuid4().hex, uuid4().hex
    stops = await hearing(bus)

    async def stop_again() -> None:
        await bus.store(subjects.turn_cancel(turn_id), b"again")
        await bus.store(subjects.turn_cancel(other), b"and another turn, so that this one has been heard")
        await until(lambda: stops.is_stopped(other))

    with stops.following(turn_id), stops.following(other):
        await bus.store(subjects.turn_cancel(turn_id), b"stop")
        with pytest.raises(TimeoutError):
            await work(stops, turn_id, stop_again)
    await bus.close()
    assert not caplog.records


async def test_a_stop_that_is_read_ends_the_work_as_one_that_is_heard(bus: Bus) -> None:
    await bus.store(subjects.turn_cancel(turn_id := uuid4().hex), b"stop")
    stops = await hearing(bus)
    began_s = asyncio.get_running_loop().time()
    with stops.following(turn_id):
        assert not stops.is_stopped(turn_id)
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(stopped(stops, turn_id, began_s))
            assert await stops.is_stored(turn_id)
        assert working.result()
        assert stops.is_stopped(turn_id)


async def test_a_stop_of_a_turn_that_nobody_follows_is_forgotten(bus: Bus) -> None:
    stops, turn_id, other = await hearing(bus), uuid4().hex, uuid4().hex
    with stops.following(other):
        await bus.store(subjects.turn_cancel(turn_id), b"stop")
        await bus.store(subjects.turn_cancel(other), b"stop")
        await until(lambda: stops.is_stopped(other))
        with stops.following(turn_id):
            assert not stops.is_stopped(turn_id)


async def test_a_turn_followed_twice_in_one_process_is_still_stopped_after_one_has_left(bus: Bus) -> None:
    stops, turn_id = await hearing(bus), uuid4().hex
    with stops.following(turn_id):
        with stops.following(turn_id):
            pass
        await bus.store(subjects.turn_cancel(turn_id), b"stop")
        assert await stopped(stops, turn_id, asyncio.get_running_loop().time())


class DeafBus(MemoryBus):
    """Stores what is published, but for a while its subscribers hear nothing of it and it cannot be read."""

    def __init__(self) -> None:
        super().__init__()
        self.is_deaf = False
        self.unreadable = 0
        self.reads = 0
        self.reading = 0
        self.most_reading = 0

    async def store(self, subject: str, data: bytes, **options: object) -> StoreAck:  # type: ignore[override]  # every option is passed on as it is
        if self.is_deaf:
            return StoreAck(self._keep("TURN_PEN", subject, data, {}).stream_seq)
        return await super().store(subject, data, **options)  # type: ignore[arg-type]  # as above

    async def last_stored(self, stream: str, subject: str) -> StoredMessage | None:
        self.reads += 1
        if self.unreadable:
            self.unreadable -= 1
            raise ParleyError(ErrorCode.UNAVAILABLE, "The turn log cannot be read now.")
        self.reading += 1
        self.most_reading = max(self.most_reading, self.reading)
        await asyncio.sleep(0)
        self.reading -= 1
        return await super().last_stored(stream, subject)


@asynccontextmanager
async def running(bus: DeafBus) -> AsyncGenerator[Stops]:
    stops = await hearing(bus)
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(stops.run())
        yield stops
        run.cancel()
    await bus.close()


async def test_a_stop_that_came_while_the_bus_was_away_is_found_when_it_is_back() -> None:
    bus, turn_id, other = DeafBus(), uuid4().hex, uuid4().hex
    async with running(bus) as stops:
        began_s = asyncio.get_running_loop().time()
        with stops.following(turn_id), stops.following(other):
            working = asyncio.create_task(stopped(stops, turn_id, began_s))
            await asyncio.sleep(0)
            bus.is_deaf, bus.unreadable = True, 2
            await bus.store(subjects.turn_cancel(turn_id), b"stop")
            bus.reconnect()
            assert await working
            assert stops.is_stopped(turn_id)
            assert not stops.is_stopped(other)


async def test_a_stop_is_looked_for_until_it_could_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley_messaging.stops.SECOND_LOOK_S", 0.02)
    monkeypatch.setattr(Stops.is_stored, "__kwdefaults__", {"within_s": 0})
    bus, turn_id = DeafBus(), uuid4().hex
    async with running(bus) as stops:
        with stops.following(turn_id):
            bus.is_deaf, bus.unreadable = True, 5
            await bus.store(subjects.turn_cancel(turn_id), b"stop")
            bus.reconnect()
            await until(lambda: stops.is_stopped(turn_id))


async def test_a_stop_that_a_lagging_subscription_dropped_is_found_as_well() -> None:
    bus, turn_id = DeafBus(), uuid4().hex
    async with running(bus) as stops:
        with stops.following(turn_id):
            bus.is_deaf = True
            await bus.store(subjects.turn_cancel(turn_id), b"stop")
            bus.drop()
            await until(lambda: stops.is_stopped(turn_id))


async def test_a_stop_that_a_replica_does_not_have_yet_is_found_at_the_second_look() -> None:
    bus, turn_id = DeafBus(), uuid4().hex
    async with running(bus) as stops:
        with stops.following(turn_id):
            bus.is_deaf = True
            bus.reconnect()
            await until(lambda: bus.reads > 0)
            await bus.store(subjects.turn_cancel(turn_id), b"stop")
            await until(lambda: stops.is_stopped(turn_id))


async def test_after_a_reconnect_only_followed_turns_are_read_and_few_at_once() -> None:
    bus = DeafBus()
    async with running(bus) as stops:
        with ExitStack() as followed:
            for _ in range(READS_AT_ONCE * 3):
                followed.enter_context(stops.following(uuid4().hex))
            bus.reconnect()
            await until(lambda: bus.reads == READS_AT_ONCE * 3)
            assert bus.most_reading == READS_AT_ONCE
