"""A cancellation is kept, in whichever moment of a wait it comes."""

import asyncio

import pytest
from parley_contracts import subjects
from parley_messaging.cancellable_waits import make_waits_cancellable
from parley_messaging.nats_bus import NatsBus
from parley_messaging.streams import TURN_EVENTS


@pytest.fixture(autouse=True)
def cancellable() -> None:
    make_waits_cancellable()


async def test_a_cancellation_in_the_moment_of_the_answer_is_kept() -> None:
    answer = asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(asyncio.wait_for(answer, 10))
    await asyncio.sleep(0)
    answer.set_result("came")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("timeout_s", [10, None, 0])
async def test_what_is_there_is_returned(timeout_s: float | None) -> None:
    answer = asyncio.get_running_loop().create_future()
    answer.set_result("came")
    assert await asyncio.wait_for(answer, timeout_s) == "came"


@pytest.mark.parametrize("timeout_s", [0.01, 0, -1])
async def test_what_comes_too_late_is_cancelled(timeout_s: float) -> None:
    answer = asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(answer, timeout_s)
    assert answer.cancelled()


async def test_an_error_is_raised_as_it_is() -> None:
    async def fail() -> None:
        raise LookupError("nobody")

    with pytest.raises(LookupError, match="nobody"):
        await asyncio.wait_for(fail(), 10)


@pytest.mark.nats
async def test_a_time_limit_around_many_requests_is_kept(nats_url: str) -> None:
    bus = NatsBus(nats_url, name="test", grace_s=1)
    await bus.start()

    async def ask_often() -> None:
        for _ in range(2000):
            await bus.next_stored(TURN_EVENTS, subjects.ALL_TURN_EVENTS, 1)

    try:
        for _ in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await ask_often()
    finally:
        await bus.close()
