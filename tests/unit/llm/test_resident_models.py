"""Models that a setting names are kept loaded, where their server has them and room for them."""

import asyncio

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ParleyError
from parley_llm.backends.extractive import ExtractiveModel
from parley_llm.backends.ollama import OllamaOptions
from parley_llm.backends.ollama_library import open_library
from parley_llm.backends.served_models import ServedModels
from parley_llm.catalogue import Catalogue
from parley_llm.model_changes import ModelChanges
from parley_llm.resident_models import ResidentModels
from parley_messaging.bus import Delivery
from parley_messaging.memory_bus import MemoryBus

from tests.fakes.ollama_server import OllamaFake
from tests.integration.waiting import eventually

NAME = "llama3.2:1b"


async def test_a_missing_model_is_loaded_and_a_loaded_one_left_alone(
    ollama: ServedModels, ollama_fake: OllamaFake
):
    async with open_library(OllamaOptions(url=ollama_fake.url)) as library:
        residents = ResidentModels(ollama, library, [NAME, "not-there:1b"], period_s=60)
        await residents.look()
        await residents.look()

        assert ollama_fake.stats.loads == 1
        assert ollama_fake.loaded == {NAME: "30m"}

        # Its time of being kept is over, or the server was started anew.
        ollama_fake.loaded.clear()
        await residents.look()
        assert ollama_fake.stats.loads == 2


async def test_a_model_that_made_room_for_another_is_loaded_when_that_is_gone(
    ollama: ServedModels, ollama_fake: OllamaFake
):
    async with open_library(OllamaOptions(url=ollama_fake.url)) as library:
        residents = ResidentModels(ollama, library, [NAME], period_s=60)
        ollama_fake.loaded = {"other:70b": "5m"}
        await residents.look()
        assert set(ollama_fake.loaded) == {NAME, "other:70b"}

        await residents.look()
        del ollama_fake.loaded[NAME]
        await residents.look()
        assert set(ollama_fake.loaded) == {"other:70b"}

        ollama_fake.loaded.clear()
        await residents.look()
        assert set(ollama_fake.loaded) == {NAME}


async def test_a_server_that_is_away_is_looked_for_again(
    ollama: ServedModels, ollama_fake: OllamaFake, unused_tcp_port: int
):
    async with open_library(OllamaOptions(url=f"http://127.0.0.1:{unused_tcp_port}")) as away:
        residents = ResidentModels(ollama, away, [NAME], period_s=0.01)
        with pytest.raises(ParleyError):
            await residents.look()
        running = asyncio.create_task(residents.run())
        await asyncio.sleep(0.05)
        assert not running.done()
        running.cancel()
    assert not ollama_fake.loaded


async def test_other_models_are_noticed_on_a_period_and_told_to_whoever_remembers_them(
    ollama: ServedModels, ollama_fake: OllamaFake
):
    bus, heard = MemoryBus(), list[bytes]()
    await bus.start()

    async def hear(delivery: Delivery) -> None:
        heard.append(delivery.data)

    await bus.subscribe(subjects.LLM_MODELS_CHANGED, hear)
    catalogue = Catalogue([ollama, ExtractiveModel()], fresh_s=0)
    other = Catalogue([ollama, ExtractiveModel()], fresh_s=3600)
    await ModelChanges(bus, other, period_s=60).start()
    assert len((await other.list()).models) > 1
    running = asyncio.create_task(ModelChanges(bus, catalogue, period_s=0.01).run())
    await asyncio.sleep(0)  # it looks first
    await catalogue.list()
    ollama_fake.models = ()

    async def is_known() -> bool:
        return [model.id for model in (await other.list()).models] == ["extractive"]

    await eventually(is_known)
    assert len(heard) == 1
    running.cancel()
    await bus.close()
