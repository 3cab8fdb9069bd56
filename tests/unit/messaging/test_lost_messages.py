"""A bus consumer that is too slow loses live messages; its watchers lose none."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_messaging import nats_bus, turn_watch
from parley_messaging.bus import Bus, Delivery, OnDelivery, OnDrop, StoredMessage
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.nats_bus import NatsBus

from tests.unit.messaging.test_turn_watch import HOME, WAIT_S, Seen, delta, ending, opening, watching

EVENTS = 400
END_SEQ = 2_000_000
SEQS = [*range(1_000_000, 1_000_001 + EVENTS), END_SEQ]


def frames() -> list[bytes]:
    deltas = [delta(seq) for seq in SEQS[1:-1]]
    return [opening(1), *deltas, ending(2, follows=1_000_000 + EVENTS)]


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[NatsBus]:
    bus = NatsBus(url, name="test", grace_s=2)
    await bus.connect()
    try:
        yield bus
    finally:
        await bus.close()


@pytest.mark.nats
@pytest.mark.parametrize("home", [HOME, "another-gateway"])
async def test_what_nats_drops_of_a_lagging_subscription_is_replayed(
    nats_url: str, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setattr(nats_bus, "PENDING_MESSAGES", 4)
    turn_id = uuid4().hex
    async with connected(nats_url) as writing, connected(nats_url) as reading, watching(reading) as watches:
        every, late = Seen(), Seen()
        opened = (
            await watches.open(home, turn_id, 0, every),
            await watches.open(home, turn_id, 1_000_100, late),
        )
        async with asyncio.timeout(WAIT_S):
            while any(watch.is_catching_up for watch in opened):  # noqa: ASYNC110 - a watch tells its sink only
                await asyncio.sleep(0.01)
        subject = subjects.turn_events(home, turn_id)
        # One burst on one connection: more arrives at once than the subscription may have waiting.
        for frame in frames():
            await writing.publish(subject, frame)
        assert await every.until_at(END_SEQ) == SEQS
        assert await late.until_at(END_SEQ) == [seq for seq in SEQS if seq > 1_000_100]
        assert reading.dropped_messages > 0
        assert watches.gaps > 0


class LosingBus:
    """Loses the live messages whose numbers are given, counted from 0, and tells nobody."""

    def __init__(self, bus: Bus, lost: set[int]) -> None:
        self._bus = bus
        self._lost = lost

    async def subscribe(
        self, subject: str, on_delivery: OnDelivery, *, group: str = "", on_drop: OnDrop | None = None
    ) -> object:
        heard = 0

        async def hear(delivery: Delivery) -> None:
            nonlocal heard
            heard += 1
            if heard - 1 not in self._lost:
                await on_delivery(delivery)

        return await self._bus.subscribe(subject, hear, group=group, on_drop=on_drop)

    def __getattr__(self, name: str) -> object:
        return getattr(self._bus, name)


@pytest.mark.parametrize(
    "lost",
    [{0}, {1}, {200}, {EVENTS}, {EVENTS + 1}, {0, 1, 2}, set(range(5, 300)), set(range(EVENTS + 2))],
    ids=["opening", "first", "one", "last", "end", "start", "most", "all"],
)
async def test_a_live_message_that_nobody_knows_is_lost_is_found_in_the_log(bus: Bus, lost: set[int]) -> None:
    await bus.start()
    turn_id, seen = uuid4().hex, Seen()
    losing: Bus = LosingBus(bus, lost)  # pyright: ignore[reportAssignmentType] - delegates by __getattr__
    async with watching(losing) as watches:
        watch = watches.open_new(turn_id, seen)
        for frame in frames():
            await bus.store(subjects.turn_events(HOME, turn_id), frame)
        assert await seen.until_at(END_SEQ) == SEQS
        assert watch.is_finished
        if min(lost) <= EVENTS and len(lost) <= EVENTS:
            assert watches.gaps == 1


class CountingReads(MemoryBus):
    """Counts the reads of logs that run at once; each takes until the test lets them all go on."""

    def __init__(self) -> None:
        super().__init__()
        self.running = 0
        self.most = 0
        self.asked = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def next_stored(self, stream: str, subject: str, from_stream_seq: int) -> StoredMessage | None:
        self.running += 1
        self.most = max(self.most, self.running)
        self.asked.set()
        await self.may_go_on.wait()
        self.running -= 1
        return await super().next_stored(stream, subject, from_stream_seq)


async def test_few_logs_are_read_at_once_and_all_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_watch, "REPLAYS_AT_ONCE", 3)
    bus, turns = CountingReads(), [uuid4().hex for _ in range(20)]
    for turn_id in turns:
        for frame in frames():
            await bus.store(subjects.turn_events(HOME, turn_id), frame)
    async with watching(bus) as watches:
        seen = [Seen() for _ in turns]
        for turn_id, one in zip(turns, seen, strict=True):
            await watches.open(HOME, turn_id, 0, one)
        async with asyncio.timeout(WAIT_S):
            while bus.running < 3:
                bus.asked.clear()
                await bus.asked.wait()
        for _ in range(100):
            # Turns of the loop in which a fourth reading would begin.
            await asyncio.sleep(0)
        bus.may_go_on.set()
        for one in seen:
            assert await one.until_at(END_SEQ) == SEQS
        assert bus.most == 3
    await bus.close()


async def test_a_watch_that_waits_for_a_hole_to_be_filled_is_in_nobodys_way(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_watch, "REPLAYS_AT_ONCE", 1)
    await bus.start()
    holed, whole = uuid4().hex, uuid4().hex
    await bus.store(subjects.turn_events(HOME, holed), delta(1_000_007))
    for frame in frames():
        await bus.store(subjects.turn_events(HOME, whole), frame)
    async with watching(bus) as watches:
        waiting, seen = Seen(), Seen()
        watch = await watches.open(HOME, holed, 0, waiting)
        await watches.open(HOME, whole, 0, seen)
        assert await seen.until_at(END_SEQ) == SEQS
        assert watch.is_catching_up
        assert waiting.seqs == []
