"""Fetches of models that take longer than any answer, and models named without a tag."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from parley_contracts.local_models import PullStatus, tagged
from parley_llm.backends.ollama import OllamaOptions
from parley_llm.backends.ollama_library import open_library
from parley_llm.pulls import Pulls
from parley_messaging.memory_bus import MemoryBus

from tests.fakes.ollama_server import OllamaFake
from tests.unit.llm.test_pulls import HELD, Told, over, standing, wanted


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    bus = MemoryBus()
    await bus.start()
    yield bus
    await bus.close()


async def test_a_fetch_may_take_longer_than_an_answer(bus: MemoryBus, ollama_fake: OllamaFake) -> None:
    ollama_fake.models = ()
    options = OllamaOptions(url=ollama_fake.url, whole_s=0.3)
    async with open_library(options) as library:
        made = Pulls(bus, library, on_change=Told().change)
        await made.start()
        running = asyncio.create_task(made.run())
        await asyncio.sleep(0)
        try:
            await made.pull(wanted(HELD))
            await asyncio.sleep(0.6)
            assert (await standing(made, tagged(HELD))).status is PullStatus.PULLING
            ollama_fake.letting_on.set()
            assert (await over(made, HELD)).status is PullStatus.READY
        finally:
            await made.stop()
            running.cancel()
            await asyncio.wait((running,))
