"""What a socket has still to send."""

import asyncio
from collections.abc import Callable, Iterable

import pytest
from parley_contracts.turn_events import GenerationFinished, encode_event, text_delta_frame
from parley_contracts.turns import TokenUsage
from parley_gateway.outbox import WRITE_BYTES, Lane, Outbox, SlowSocketError

WAIT_S = 5.0


class HeldWriter:
    """A connection in memory whose client reads only while `can_write`; keeps each write's frames."""

    def __init__(self) -> None:
        self.on_writable: Callable[[], None] = lambda: None
        self.can_write = True
        self.writes: list[list[bytes]] = []
        self.written = asyncio.Event()

    def write_frames(self, frames: Iterable[bytes]) -> None:
        self.writes.append(list(frames))
        self.written.set()

    def abort(self) -> None:
        self.can_write = False

    def read_on(self) -> None:
        self.can_write = True
        self.on_writable()

    @property
    def frames(self) -> list[bytes]:
        return [frame for write in self.writes for frame in write]

    async def until_written(self) -> None:
        async with asyncio.timeout(WAIT_S):
            await self.written.wait()


async def test_frames_that_come_together_go_out_in_order_in_one_write() -> None:
    writer = HeldWriter()
    outbox = Outbox(writer, 1000)
    outbox.put(b"one")
    outbox.put("zwei ü".encode())
    assert not outbox.is_empty
    await writer.until_written()
    assert writer.writes == [[b"one", "zwei ü".encode()]]
    assert outbox.is_empty


async def test_frames_wait_while_the_client_lags_and_follow_when_it_reads_on() -> None:
    writer = HeldWriter()
    outbox = Outbox(writer, 1000)
    writer.can_write = False
    outbox.put(b"one")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not writer.writes
    writer.read_on()
    outbox.put(b"two")
    writer.written.clear()
    await writer.until_written()
    assert writer.frames == [b"one", b"two"]


async def test_a_write_is_bounded_so_that_what_waits_is_counted() -> None:
    writer = HeldWriter()
    outbox = Outbox(writer, 10 * WRITE_BYTES)
    frames = [bytes(1000)] * (3 * WRITE_BYTES // 1000)
    for frame in frames:
        outbox.put(frame)
    await writer.until_written()
    assert writer.frames == frames
    assert all(sum(map(len, write)) <= WRITE_BYTES + 1000 for write in writer.writes)


async def test_a_socket_that_lags_past_its_cap_is_given_up_and_gets_nothing_after_the_gap() -> None:
    writer = HeldWriter()
    outbox = Outbox(writer, 100)
    writer.can_write = False
    for _ in range(20):
        outbox.put(b"x" * 10)
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(SlowSocketError):
            await outbox.overflow()
    writer.read_on()
    outbox.put(b"after the gap")
    await asyncio.sleep(0)
    assert not writer.frames


async def test_the_event_that_is_meant_for_runners_is_not_relayed() -> None:
    outbox = Outbox(HeldWriter(), 1000)
    finished = GenerationFinished(
        seq=2_000_009, turn_id="t", text="x", model="m", usage=TokenUsage(), finish_reason="stop"
    )
    outbox.relay(encode_event(finished), Lane())
    assert outbox.is_empty
    outbox.relay(text_delta_frame(b'"t"', 2_000_008, "generation"), Lane())
    assert not outbox.is_empty
