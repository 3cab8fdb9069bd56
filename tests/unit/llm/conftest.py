"""The language models, and the fake servers behind two of them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from parley_contracts.llm import GenerateJob
from parley_contracts.turns import GenerationParams
from parley_llm.backends.extractive import ExtractiveModel
from parley_llm.backends.ollama import OllamaModel, OllamaOptions, open_ollama
from parley_llm.backends.openai_compatible import OpenAiCompatibleModel, OpenAiOptions, open_openai
from parley_llm.language_model import LanguageModel

from tests.fakes.ollama_server import OllamaFake, open_ollama_fake
from tests.fakes.openai_server import OpenAiFake, open_openai_fake
from tests.fakes.scripted_answers import QUICK_MODEL
from tests.unit.llm.jobs import job_for
from tests.unit.llm.quoting_cases import CASES


@dataclass(frozen=True)
class Candidate:
    """A language model under the common suite, with a model id and a question that it answers."""

    model: LanguageModel
    model_id: str

    def job(self, params: GenerationParams | None = None) -> GenerateJob:
        """Return a job that takes many words to answer."""
        case = CASES[0]
        return job_for(self.model_id, case.question, citations=case.citations(), params=params)


@pytest.fixture
async def fake() -> AsyncIterator[OllamaFake]:
    async with open_ollama_fake() as served:
        yield served


@pytest.fixture
async def ollama(fake: OllamaFake) -> AsyncIterator[OllamaModel]:
    async with open_ollama(OllamaOptions(host=fake.url, first_token_s=0.3, gap_s=0.3)) as model:
        yield model


@pytest.fixture
async def openai_fake() -> AsyncIterator[OpenAiFake]:
    async with open_openai_fake() as served:
        yield served


@pytest.fixture
async def openai(openai_fake: OpenAiFake) -> AsyncIterator[OpenAiCompatibleModel]:
    """A server that goes on from a prefix, and has told so."""
    options = OpenAiOptions(base_url=openai_fake.base_url, first_token_s=0.3, gap_s=0.3)
    openai_fake.models = (QUICK_MODEL,)
    async with open_openai(options) as model:
        assert await model.models()
        yield model


@pytest.fixture(params=["extractive", "ollama", "openai"])
async def candidate(
    request: pytest.FixtureRequest, ollama: OllamaModel, openai: OpenAiCompatibleModel
) -> Candidate:
    if request.param == "extractive":
        return Candidate(ExtractiveModel(), "extractive")
    if request.param == "ollama":
        return Candidate(ollama, f"ollama/{QUICK_MODEL}")
    return Candidate(openai, f"openai/{QUICK_MODEL}")
