"""The catalogue: who is listed, in which order, and whose a model is."""

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_llm.backends.extractive import ExtractiveModel
from parley_llm.backends.ollama import OllamaFormat, OllamaOptions, open_ollama
from parley_llm.backends.served_models import ServedModels
from parley_llm.catalogue import Catalogue
from parley_messaging.circuit import Circuits

from tests.fakes.ollama_server import OllamaFake


async def test_the_models_of_a_server_come_before_the_one_that_is_always_there(ollama: ServedModels):
    listed = await Catalogue([ollama, ExtractiveModel()]).list()

    assert listed.models[0].id == "ollama/llama3.2:1b"
    assert listed.models[-1].id == "extractive"


async def test_without_a_server_the_extractive_model_is_listed(unused_tcp_port: int):
    async with open_ollama(OllamaOptions(url=f"http://127.0.0.1:{unused_tcp_port}")) as away:
        listed = await Catalogue([away, ExtractiveModel()]).list()

    assert [info.id for info in listed.models] == ["extractive"]


async def test_the_list_is_asked_again_after_a_while(ollama: ServedModels, ollama_fake: OllamaFake):
    now_s = 0.0
    catalogue = Catalogue([ollama, ExtractiveModel()], fresh_s=3, clock=lambda: now_s)
    await catalogue.list()
    ollama_fake.models = ()

    now_s = 2.9
    assert len((await catalogue.list()).models) > 1
    now_s = 3.1
    assert [info.id for info in (await catalogue.list()).models] == ["extractive"]


def test_a_model_is_resolved_by_its_name_alone():
    extractive = ExtractiveModel()
    options = OllamaOptions(url="http://127.0.0.1:1")
    ollama = ServedModels(OllamaFormat(options), options, Circuits())
    catalogue = Catalogue([ollama, extractive])

    assert catalogue.resolve("extractive") is extractive
    assert catalogue.resolve("ollama/anything:7b") is ollama
    with pytest.raises(ParleyError) as caught:
        catalogue.resolve("gpt-x")
    assert caught.value.code is ErrorCode.MODEL_NOT_FOUND
