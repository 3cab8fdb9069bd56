import asyncio

import pytest
from parley_browser.reader import Places
from parley_contracts.errors import ErrorCode, ParleyError


async def test_a_read_beyond_those_that_may_wait_is_overloaded() -> None:
    places = Places(concurrency=1, queue=1)
    leave = asyncio.Event()
    inside: asyncio.Queue[str] = asyncio.Queue()
    refused: asyncio.Queue[ParleyError] = asyncio.Queue()

    async def stay(name: str) -> None:
        try:
            async with places.take():
                inside.put_nowait(name)
                await leave.wait()
        except ParleyError as error:
            refused.put_nowait(error)

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(stay("first"))
        assert await inside.get() == "first"
        tasks.create_task(stay("second"))
        tasks.create_task(stay("third"))
        error = await refused.get()
        leave.set()
    assert error.code is ErrorCode.OVERLOADED
    assert error.retryable
    assert inside.get_nowait() == "second"
    assert inside.empty()


async def test_a_read_that_gave_up_waiting_leaves_its_place_to_others() -> None:
    places = Places(concurrency=1, queue=1)
    async with places.take():
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0), places.take():
                    pytest.fail("the only place is taken")
    async with asyncio.timeout(5), places.take():
        pass
