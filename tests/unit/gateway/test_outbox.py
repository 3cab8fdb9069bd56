"""What a socket has still to send."""

import asyncio

import pytest
from parley_contracts.turn_events import GenerationFinished, encode_event, text_delta_frame
from parley_contracts.turns import TokenUsage
from parley_gateway.outbox import Outbox, SendText, SlowSocketError

WAIT_S = 5.0


async def test_frames_are_sent_in_order_as_they_come() -> None:
    outbox, sent = Outbox(1000), list[str]()
    done = asyncio.Event()

    async def send(text: str) -> None:
        sent.append(text)
        if text == "last":
            done.set()

    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(outbox.send_all(send))
        outbox.put(b"one")
        outbox.put("zwei ü".encode())
        await asyncio.sleep(0)
        outbox.put(b"last")
        async with asyncio.timeout(WAIT_S):
            await done.wait()
        sending.cancel()
    assert sent == ["one", "zwei ü", "last"]
    assert outbox.is_empty


async def test_a_socket_that_lags_past_its_cap_is_given_up() -> None:
    outbox = Outbox(100)
    blocked = asyncio.Event()

    async def send(_: str) -> None:
        await blocked.wait()

    async with asyncio.timeout(WAIT_S):
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(_expect_slow(outbox, blocked, send))
            await asyncio.sleep(0)
            for _ in range(20):
                outbox.put(b"x" * 10)
            blocked.set()
            await sending


async def _expect_slow(outbox: Outbox, blocked: asyncio.Event, send: SendText) -> None:
    outbox.put(b"first")
    with pytest.raises(SlowSocketError):
        await outbox.send_all(send)


def test_the_event_that_is_meant_for_runners_is_not_relayed() -> None:
    outbox = Outbox(1000)
    finished = GenerationFinished(
        seq=2_000_009, turn_id="t", text="x", model="m", usage=TokenUsage(), finish_reason="stop"
    )
    outbox.relay(encode_event(finished), 2_000_009)
    assert outbox.is_empty
    outbox.relay(text_delta_frame(b'"t"', 2_000_008, "generation"), 2_000_008)
    assert not outbox.is_empty
