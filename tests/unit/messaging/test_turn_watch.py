"""Watches stand what others publish, and leave nothing behind."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turn_events import EpochStarted, TurnFailed, encode_event, text_delta_frame
from parley_contracts.turns import EPOCH_SPAN
from parley_messaging.bus import Bus, OnDelivery, OnDrop, StoredMessage, Subscription
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.turn_log import read_turn_log
from parley_messaging.turn_watch import TurnWatches

WAIT_S = 8.0
HOME = "gateway-1"
POISON = [
    b"",
    b"nonsense",
    b'{"seq":x,"type":"text_delta"}',
    b'{"seq":5000000,"type":"e',
    b'{"seq":2000000,[]',
    b'{"seq":2000007,',
    b'{"seq":2000000,"type":"epoch_started","follows":"1000000"}',
    b'{"seq":2000000,"type":"epoch_started","follows":[1000000]}',
    b'["seq",2000000,"type"]',
    b'{"seq":2000000,"type":"epoch_started","follows":' + b"[" * 100_000,
    b"A secret that is no event, but a sentence.",
]


def opening(epoch: int, *, follows: int = 0) -> bytes:
    return encode_event(EpochStarted(seq=epoch * EPOCH_SPAN, follows=follows, turn_id="t", keep_chars=0))


def ending(epoch: int, *, follows: int) -> bytes:
    return encode_event(
        TurnFailed(
            seq=epoch * EPOCH_SPAN,
            follows=follows,
            turn_id="t",
            conversation_id="c",
            code=ErrorCode.INTERNAL,
            message="m",
            retryable=True,
        )
    )


def delta(seq: int) -> bytes:
    return text_delta_frame(b'"t"', seq, "x")


class Seen:
    """A sink that remembers what it was handed, and may fail on it."""

    def __init__(self, fails_on: int | None = None) -> None:
        self.seqs: list[int] = []
        self.fails_on = fails_on
        self._changed = asyncio.Event()

    def __call__(self, frame: bytes, seq: int) -> None:
        self.seqs.append(seq)
        self._changed.set()
        if seq == self.fails_on:
            raise RuntimeError("a sink that fails")

    async def until_at(self, seq: int) -> list[int]:
        async with asyncio.timeout(WAIT_S):
            while seq not in self.seqs:
                self._changed.clear()
                await self._changed.wait()
        return self.seqs


@asynccontextmanager
async def watching(bus: Bus, home: str = HOME) -> AsyncGenerator[TurnWatches]:
    watches = TurnWatches(bus, home)
    await watches.start()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(watches.run())
        try:
            yield watches
        finally:
            assert not running.done()
            running.cancel()


@pytest.mark.parametrize("is_live", [True, False])
async def test_frames_that_are_no_events_are_passed_over_and_what_they_hold_is_not_logged(
    bus: Bus, caplog: pytest.LogCaptureFixture, is_live: bool
) -> None:
    await bus.start()
    turn_id, seen = uuid4().hex, Seen()
    subject = subjects.turn_events(HOME, turn_id)
    async with watching(bus) as watches:
        if is_live:
            watches.open_new(turn_id, seen)
        await bus.store(subject, opening(1))
        for poison in POISON:
            await bus.store(subject, poison)
        await bus.store(subject, delta(1_000_001))
        if not is_live:
            await watches.open(HOME, turn_id, 0, seen)
        assert await seen.until_at(1_000_001) == [1_000_000, 1_000_001]
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert "secret" not in str([vars(record) for record in caplog.records])


@pytest.mark.parametrize("is_live", [True, False])
async def test_a_sink_that_fails_spoils_neither_its_watch_nor_the_others(bus: Bus, is_live: bool) -> None:
    await bus.start()
    turn_id, failing, seen = uuid4().hex, Seen(fails_on=1_000_000), Seen()
    subject = subjects.turn_events(HOME, turn_id)
    async with watching(bus) as watches:
        if is_live:
            watches.open_new(turn_id, failing)
            watches.open_new(turn_id, seen)
        await bus.store(subject, opening(1))
        await bus.store(subject, delta(1_000_001))
        if not is_live:
            await watches.open(HOME, turn_id, 0, failing)
            await watches.open(HOME, turn_id, 0, seen)
        assert await failing.until_at(1_000_001) == [1_000_000, 1_000_001]
        assert await seen.until_at(1_000_001) == [1_000_000, 1_000_001]


async def test_an_event_of_a_later_version_does_not_keep_a_log_from_being_read(bus: Bus) -> None:
    await bus.start()
    turn_id = uuid4().hex
    subject = subjects.turn_events(HOME, turn_id)
    await bus.store(subject, opening(1))
    await bus.store(subject, b'{"seq":1000001,"type":"mood_changed","turn_id":"t","mood":"sunny"}')
    await bus.store(subject, delta(1_000_002))
    log = await read_turn_log(bus, HOME, turn_id)
    assert (log.text, log.last_seq) == ("x", 1_000_002)


async def test_a_watch_that_begins_after_the_end_is_finished(bus: Bus) -> None:
    await bus.start()
    turn_id, seen = uuid4().hex, Seen()
    subject = subjects.turn_events(HOME, turn_id)
    await bus.store(subject, opening(1))
    await bus.store(subject, ending(2, follows=1_000_000))
    async with watching(bus) as watches, asyncio.timeout(WAIT_S):
        watch = await watches.open(HOME, turn_id, 2_000_000, seen)
        while not watch.is_finished:  # noqa: ASYNC110 - a watch tells its sink only, which has nothing to hear
            await asyncio.sleep(0.01)
    assert seen.seqs == []


class CountingBus(MemoryBus):
    """Counts reads of the log and open subscriptions; subscribing takes a moment, and may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.fails = False

    async def next_stored(self, stream: str, subject: str, from_stream_seq: int):  # type: ignore[no-untyped-def]  # as MemoryBus
        self.reads += 1
        return await super().next_stored(stream, subject, from_stream_seq)

    async def subscribe(self, subject: str, on_delivery: OnDelivery, *, on_drop: OnDrop | None = None):  # type: ignore[no-untyped-def]  # as MemoryBus
        await asyncio.sleep(0)
        if self.fails:
            raise ParleyError(ErrorCode.UNAVAILABLE, "away")
        return await super().subscribe(subject, on_delivery, on_drop=on_drop)

    @property
    def subscriptions(self) -> list[Subscription]:
        return list(self._subscriptions)


async def test_a_watch_that_is_closed_with_a_hole_reads_the_log_no_more() -> None:
    bus = CountingBus()
    turn_id, seen = uuid4().hex, Seen()
    async with watching(bus) as watches:
        watch = watches.open_new(turn_id, seen)
        # Heard, but never stored: its predecessor cannot be found.
        await bus.publish(subjects.turn_events(HOME, turn_id), delta(1_000_007))
        async with asyncio.timeout(WAIT_S):
            while bus.reads < 3:  # noqa: ASYNC110 - the bus only counts
                await asyncio.sleep(0.01)
        bus._streams.clear()  # pyright: ignore[reportPrivateUsage] - as if the log had expired
        await watches.close(watch)
        reads = bus.reads
        await asyncio.sleep(0.2)
        assert bus.reads <= reads + 1
    await bus.close()


async def test_two_watches_opened_at_once_on_a_foreign_turn_leave_no_subscription_behind() -> None:
    bus = CountingBus()
    async with watching(bus) as watches:
        before = len(bus.subscriptions)
        opened = await asyncio.gather(*(watches.open("elsewhere", "turn", 0, Seen()) for _ in range(2)))
        assert len(bus.subscriptions) == before + 1
        for watch in opened:
            await watches.close(watch)
        assert len(bus.subscriptions) == before
    await bus.close()


async def test_a_watch_that_cannot_subscribe_is_not_left_behind() -> None:
    bus = CountingBus()
    async with watching(bus) as watches:
        bus.fails = True
        with pytest.raises(ParleyError):
            await watches.open("elsewhere", "turn", 0, Seen())
        assert watches.open_watches == 0
    await bus.close()


class UnreadableLogs(MemoryBus):
    """A bus whose logs cannot be read."""

    async def next_stored(self, stream: str, subject: str, from_stream_seq: int) -> StoredMessage | None:
        raise ParleyError(ErrorCode.UNAVAILABLE, "The turn log cannot be read now.")


async def test_a_watch_that_has_missed_nothing_goes_on_live_though_the_log_cannot_be_read() -> None:
    bus, turn_id, seen = UnreadableLogs(), uuid4().hex, Seen()
    await bus.start()
    async with watching(bus) as watches:
        await watches.open(HOME, turn_id, 0, seen)
        for event in (opening(1), delta(1_000_001), ending(2, follows=1_000_001)):
            await bus.publish(subjects.turn_events(HOME, turn_id), event)
        assert await seen.until_at(2_000_000) == [1_000_000, 1_000_001, 2_000_000]
    await bus.close()
