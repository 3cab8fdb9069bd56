"""A turn's writer keeps the order of its events, and its patience with a slow server."""

import asyncio
from itertools import pairwise

import pytest
from parley_contracts.turn_events import frame_seq, text_delta_frame
from parley_messaging.bus import NotStoredError
from parley_messaging.turn_writer import STALE_S, WINDOW_EVENTS, TurnWriter


class SlowBus:
    """Takes publishes, one turn of the loop each, and acknowledges none."""

    def __init__(self) -> None:
        self.seqs: list[int] = []

    async def publish(self, subject: str, data: bytes, *, reply: str = "") -> None:
        await asyncio.sleep(0)
        self.seqs.append(frame_seq(data))


def delta(seq: int) -> bytes:
    return text_delta_frame(b'"t"', seq, "x")


def writing(bus: SlowBus) -> TurnWriter:
    return TurnWriter(bus, "subject", "inbox", 1)  # type: ignore[arg-type]  # a writer publishes only


async def test_an_event_appended_during_a_repeat_is_published_after_it() -> None:
    bus = SlowBus()
    writer = writing(bus)
    for _ in range(3):
        await writer.append(delta)
    bus.seqs.clear()
    now_s = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(writer.go_back(now_s + 2 * STALE_S))
        await asyncio.sleep(0)
        tasks.create_task(writer.append(delta))
    assert bus.seqs == [1_000_000, 1_000_001, 1_000_002, 1_000_003]


async def test_who_waits_for_room_first_writes_first() -> None:
    bus = SlowBus()
    writer = writing(bus)
    for _ in range(WINDOW_EVENTS):
        await writer.append(delta)
    written: list[str] = []

    def noting(name: str, seq: int) -> bytes:
        written.append(name)
        return delta(seq)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(writer.append(lambda seq: noting("first", seq)))
        await asyncio.sleep(0)
        tasks.create_task(writer.append(lambda seq: noting("second", seq)))
        # There is room again, and the second runs before whoever waited for it is woken.
        writer.acknowledge(1, 1_000_000)
        writer.acknowledge(1, 1_000_001)
    assert written == ["first", "second"]


async def test_a_full_window_does_not_hold_an_event_that_waits_to_be_stored_for_ever() -> None:
    writer = writing(SlowBus())
    for _ in range(WINDOW_EVENTS):
        await writer.append(delta)
    async with asyncio.timeout(5):
        with pytest.raises(NotStoredError, match=f"{WINDOW_EVENTS} events"):
            await writer.append_settled(delta, timeout_s=0.05)


async def test_repeats_to_a_server_that_is_slow_to_acknowledge_become_rarer() -> None:
    bus = SlowBus()
    writer = writing(bus)
    await writer.append(delta)
    now_s = asyncio.get_running_loop().time()
    repeats: list[float] = []
    for quarter in range(1, 81):
        published = len(bus.seqs)
        await writer.go_back(now_s + quarter / 4)
        if len(bus.seqs) > published:
            repeats.append(quarter / 4)
    gaps = [later - earlier for earlier, later in pairwise(repeats)]
    assert gaps == [2.0, 4.0, 8.0]
    # An acknowledgement that takes three seconds counts at last, and patience starts anew.
    writer.acknowledge(len(repeats) + 1, 1_000_000)
    await writer.settle(1)
    await writer.append(delta)
    published = len(bus.seqs)
    await writer.go_back(asyncio.get_running_loop().time() + 1.5 * STALE_S)
    assert len(bus.seqs) == published + 1
