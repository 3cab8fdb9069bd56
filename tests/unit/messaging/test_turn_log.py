"""Writing and watching a turn's events: whole, in order, once, on both buses."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_contracts.tools import ToolCall
from parley_contracts.turn_events import (
    EpochStarted,
    GenerationFinished,
    ToolCalled,
    TurnCompleted,
    encode_event,
    frame_seq,
    frame_type,
    reasoning_delta_frame,
    text_delta_frame,
)
from parley_contracts.turns import EPOCH_SPAN, TokenUsage, TurnTimings
from parley_messaging.bus import Bus, NotStoredError
from parley_messaging.turn_log import TurnLog
from parley_messaging.turn_watch import TurnWatch, TurnWatches
from parley_messaging.turn_writer import TurnWriter, TurnWriters

WAIT_S = 8.0
HOME = "gateway-1"


def opening(epoch: int, *, follows: int = 0, keep_chars: int = 0) -> bytes:
    return encode_event(
        EpochStarted(seq=epoch * EPOCH_SPAN, follows=follows, turn_id="t", keep_chars=keep_chars)
    )


def ending(epoch: int, *, follows: int) -> bytes:
    return encode_event(
        TurnCompleted(
            seq=epoch * EPOCH_SPAN,
            follows=follows,
            turn_id="t",
            conversation_id="c",
            model=None,
            usage=TokenUsage(),
            finish_reason="stop",
            citations=(),
            degraded=(),
            timings=TurnTimings(),
            stored="yes",
        )
    )


def delta(seq: int, text: str) -> bytes:
    return text_delta_frame(b'"t"', seq, text)


class Seen:
    """A sink that remembers the seqs it was handed."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.changed = asyncio.Event()

    def __call__(self, frame: bytes, seq: int) -> None:
        assert frame_seq(frame) == seq
        self.seqs.append(seq)
        self.changed.set()

    async def until(self, count: int) -> list[int]:
        async with asyncio.timeout(WAIT_S):
            while len(self.seqs) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.seqs


@asynccontextmanager
async def running(bus: Bus, home: str = HOME) -> AsyncGenerator[tuple[TurnWriters, TurnWatches]]:
    writers, watches = TurnWriters(bus), TurnWatches(bus, home)
    await writers.start()
    await watches.start()
    async with asyncio.TaskGroup() as tasks:
        running_tasks = [tasks.create_task(writers.run()), tasks.create_task(watches.run())]
        try:
            yield writers, watches
        finally:
            for task in running_tasks:
                task.cancel()


async def write_deltas(writer: TurnWriter, count: int) -> None:
    for number in range(count):
        await writer.append(partial(delta, text=f"{number} "))


def test_a_frame_tells_its_seq_and_type_without_being_parsed() -> None:
    frame = text_delta_frame(b'"t"', 2_000_017, 'a "quoted" é')
    assert (frame_seq(frame), frame_type(frame)) == (2_000_017, "text_delta")
    assert (frame_seq(opening(3)), frame_type(opening(3))) == (3_000_000, "epoch_started")


def test_what_was_thought_is_counted_and_cut_apart_from_the_answer() -> None:
    log = TurnLog()
    log.take(opening(2), 2_000_000)
    log.take(reasoning_delta_frame(b'"t"', 2_000_001, "So many "), 2_000_001)
    log.take(reasoning_delta_frame(b'"t"', 2_000_002, "words."), 2_000_002)
    log.take(delta(2_000_003, "An answer"), 2_000_003)
    assert (log.text, log.reasoning_chars, log.last_seq) == ("An answer", 14, 2_000_003)
    kept = EpochStarted(seq=3_000_000, follows=2_000_003, turn_id="t", keep_chars=2, keep_reasoning_chars=9)
    log.take(encode_event(kept), 3_000_000)
    assert (log.text, log.reasoning_chars) == ("An", 9)
    log.take(opening(4, keep_chars=2), 4_000_000)
    assert (log.text, log.reasoning_chars) == ("An", 0)


def test_a_generation_that_called_tools_is_an_earlier_one_when_the_next_epoch_begins() -> None:
    log, calls = TurnLog(), (ToolCall(id="a", name="f", arguments="{}"),)
    end = GenerationFinished(
        seq=2_000_002,
        turn_id="t",
        text="",
        model="m",
        usage=TokenUsage(prompt_tokens=5),
        finish_reason="tool_calls",
        tool_calls=calls,
    )
    log.take(opening(2), 2_000_000)
    log.take(reasoning_delta_frame(b'"t"', 2_000_001, "Hm."), 2_000_001)
    log.take(encode_event(end), 2_000_002)
    # It stands as the end, and so is not counted twice.
    assert (log.finished, log.earlier) == (end, ())
    kept = EpochStarted(seq=3_000_000, follows=2_000_002, turn_id="t", keep_chars=0, keep_reasoning_chars=99)
    log.take(encode_event(kept), 3_000_000)
    assert (log.finished, log.earlier) == (None, (end,))
    called = ToolCalled(seq=3_000_001, turn_id="t", call_id="a", name="f", arguments="{}")
    log.take(encode_event(called), 3_000_001)
    log.take(reasoning_delta_frame(b'"t"', 3_000_002, "So."), 3_000_002)
    assert (log.finished, log.earlier) == (None, (end,))
    assert (log.earlier_reasoning_chars, log.reasoning_chars) == (3, 6)


async def test_a_watch_from_the_start_hears_every_event_once(bus: Bus) -> None:
    await bus.start()
    async with running(bus) as (writers, watches):
        turn_id, seen = uuid4().hex, Seen()
        watches.open_new(turn_id, seen)
        async with writers.open(subjects.turn_events(HOME, turn_id), 1) as writer:
            await writer.append(lambda _: opening(1))
            await write_deltas(writer, 700)
            await writer.settle(WAIT_S)
        assert await seen.until(701) == list(range(1_000_000, 1_000_701))


@pytest.mark.parametrize("home", [HOME, "another-gateway"])
async def test_a_watch_opened_in_the_middle_gets_exactly_the_rest(bus: Bus, home: str) -> None:
    await bus.start()
    async with running(bus) as (writers, watches):
        turn_id, seen = uuid4().hex, Seen()
        async with writers.open(subjects.turn_events(home, turn_id), 1) as writer:
            await writer.append(lambda _: opening(1))
            await write_deltas(writer, 50)
            writing = asyncio.create_task(write_deltas(writer, 200))
            watch = await watches.open(home, turn_id, 1_000_020, seen)
            await writing
            await writer.settle(WAIT_S)
        async with writers.open(subjects.turn_events(home, turn_id), 2) as writer:
            await writer.append_settled(lambda _: ending(2, follows=1_000_250), timeout_s=WAIT_S)
        assert await seen.until(231) == [*range(1_000_021, 1_000_251), 2_000_000]
        assert watch.is_finished
        await watches.close(watch)
        assert watches.open_watches == 0


async def test_an_event_heard_out_of_turn_makes_the_watch_replay(bus: Bus) -> None:
    await bus.start()
    async with running(bus) as (writers, watches):
        turn_id, seen = uuid4().hex, Seen()
        subject = subjects.turn_events(HOME, turn_id)
        async with writers.open(subject, 1) as writer:
            await writer.append(lambda _: opening(1))
            await write_deltas(writer, 10)
            await writer.settle(WAIT_S)
            # This watch has heard nothing so far, as after a drop: the next event shows it the hole.
            watches.open_new(turn_id, seen)
            await writer.append(partial(delta, text="late"))
        assert await seen.until(12) == list(range(1_000_000, 1_000_012))
        assert watches.gaps == 1


async def test_an_ending_is_not_taken_while_the_event_it_follows_is_missing(bus: Bus) -> None:
    await bus.start()
    async with running(bus) as (_, watches):
        turn_id, seen = uuid4().hex, Seen()
        subject = subjects.turn_events(HOME, turn_id)
        watch = watches.open_new(turn_id, seen)
        await bus.publish(subject, ending(2, follows=1_000_000))
        await bus.store(subject, opening(1))
        await bus.store(subject, ending(2, follows=1_000_000))
        assert await seen.until(2) == [1_000_000, 2_000_000]
        assert watch.is_finished


async def test_a_stale_writers_events_are_dropped_once_a_higher_epoch_is_seen(bus: Bus) -> None:
    await bus.start()
    async with running(bus) as (_, watches):
        turn_id, seen = uuid4().hex, Seen()
        subject = subjects.turn_events(HOME, turn_id)
        watches.open_new(turn_id, seen)
        await bus.store(subject, opening(1))
        await bus.store(subject, opening(2, follows=1_000_000))
        await bus.store(subject, text_delta_frame(b'"t"', 1_000_001, "stale"))
        await bus.store(subject, text_delta_frame(b'"t"', 2_000_001, "good"))
        assert await seen.until(3) == [1_000_000, 2_000_000, 2_000_001]


async def test_an_idle_watch_finds_an_event_it_never_heard(bus: Bus) -> None:
    await bus.start()
    async with running(bus, home="one") as (_, watches):
        turn_id, seen = uuid4().hex, Seen()
        watch = TurnWatch(subjects.turn_events("elsewhere", turn_id), 0, seen)
        # Registered without any live subscription: only the idle check can find the event.
        watches._register(watch)  # pyright: ignore[reportPrivateUsage] - simulates deafness
        await bus.store(watch.subject, opening(1))
        assert await seen.until(1) == [1_000_000]


class LossyBus:
    """Loses every third captured publish, as a server that dies does, and tells nobody."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._published = 0

    async def publish(self, subject: str, data: bytes, *, reply: str = "") -> None:
        self._published += 1
        if self._published % 3 or self._published > 90:
            await self._bus.publish(subject, data, reply=reply)

    def __getattr__(self, name: str) -> object:
        return getattr(self._bus, name)


async def test_a_log_becomes_whole_although_publishes_are_lost(bus: Bus) -> None:
    await bus.start()
    async with running(bus) as (_, watches):
        lossy: Bus = LossyBus(bus)  # pyright: ignore[reportAssignmentType] - delegates by __getattr__
        writers = TurnWriters(lossy)
        await writers.start()
        turn_id, seen = uuid4().hex, Seen()
        watches.open_new(turn_id, seen)
        async with asyncio.TaskGroup() as tasks:
            sweeping = tasks.create_task(writers.run())
            async with writers.open(subjects.turn_events(HOME, turn_id), 1) as writer:
                await writer.append(lambda _: opening(1))
                await write_deltas(writer, 60)
                await writer.settle(WAIT_S)
            assert await seen.until(61) == list(range(1_000_000, 1_000_061))
            sweeping.cancel()


async def test_acknowledgements_out_of_order_leave_the_window_in_order() -> None:
    writer = TurnWriter(Silent(), "subject", "inbox", 1)  # pyright: ignore[reportArgumentType] - publish only
    for number in range(3):
        await writer.append(partial(delta, text=str(number)))
    writer.acknowledge(1, 1_000_001)
    writer.acknowledge(1, 1_000_000)
    with pytest.raises(NotStoredError, match="1 events"):
        await writer.settle(0.01)
    await writer.go_back(asyncio.get_running_loop().time() + 2)
    writer.acknowledge(1, 1_000_002)
    with pytest.raises(NotStoredError, match="1 events"):
        await writer.settle(0.01)
    writer.acknowledge(2, 1_000_002)
    await writer.settle(0.01)


class Silent:
    """A bus that takes publishes and does nothing."""

    async def publish(self, subject: str, data: bytes, *, reply: str = "") -> None:
        return

    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)
