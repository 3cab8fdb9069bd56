"""Work that is late is told to stop until it does, whatever becomes of the first word."""

import asyncio

import pytest
from parley_messaging.insisting import within


class Deaf:
    """Work that loses some cancellations, as a loop around `asyncio.wait_for` may."""

    def __init__(self, losses: int) -> None:
        self.losses = losses
        self.has_ended = False

    async def work(self) -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.losses -= 1
                if self.losses < 0:
                    self.has_ended = True
                    raise


async def test_what_is_done_in_time_is_returned() -> None:
    assert await within(10, asyncio.sleep(0, "done")) == "done"


async def test_what_fails_in_time_fails() -> None:
    async def fail() -> None:
        raise LookupError("nobody")

    with pytest.raises(LookupError, match="nobody"):
        await within(10, fail())


@pytest.mark.parametrize("losses", [0, 1, 2])
async def test_late_work_ends_though_it_loses_cancellations(losses: int) -> None:
    deaf = Deaf(losses)
    with pytest.raises(TimeoutError):
        await within(0.01, deaf.work())
    assert deaf.has_ended


async def test_work_whose_caller_is_cancelled_ends_though_it_loses_the_first_cancellation() -> None:
    deaf = Deaf(1)
    caller = asyncio.ensure_future(within(3600, deaf.work()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert deaf.has_ended
