"""The language models, and the fake servers behind two of them."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from parley_contracts.llm import GenerateJob
from parley_contracts.turns import GenerationParams
from parley_llm.backends.extractive import ExtractiveModel
from parley_llm.backends.served_models import ServedModels
from parley_llm.language_model import LanguageModel

from tests.fakes.anthropic_server import AnthropicFake, open_anthropic_fake
from tests.fakes.ollama_server import OllamaFake, open_ollama_fake
from tests.fakes.openai_server import OpenAiFake, open_openai_fake
from tests.fakes.scripted_answers import QUICK_MODEL
from tests.unit.llm.backend_kinds import ANTHROPIC, BACKEND_KINDS, OLLAMA, OPENAI, BackendKind, Served
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
async def ollama_fake() -> AsyncIterator[OllamaFake]:
    async with open_ollama_fake() as fake:
        yield fake


@pytest.fixture
async def openai_fake() -> AsyncIterator[OpenAiFake]:
    async with open_openai_fake() as fake:
        yield fake


@pytest.fixture
async def anthropic_fake() -> AsyncIterator[AnthropicFake]:
    async with open_anthropic_fake() as fake:
        yield fake


@pytest.fixture
async def ollama(ollama_fake: OllamaFake) -> AsyncIterator[ServedModels]:
    async with OLLAMA.open_models(ollama_fake.url, first_token_s=1.0, gap_s=1.0) as models:
        yield models


@pytest.fixture
async def openai(openai_fake: OpenAiFake) -> AsyncIterator[ServedModels]:
    async with OPENAI.open_models(openai_fake.url, first_token_s=1.0, gap_s=1.0) as models:
        yield models


@pytest.fixture
async def claude(anthropic_fake: AnthropicFake) -> AsyncIterator[ServedModels]:
    async with ANTHROPIC.open_models(anthropic_fake.url, first_token_s=0.3, gap_s=0.3) as models:
        await models.models()
        yield models


@pytest.fixture(params=BACKEND_KINDS, ids=lambda kind: kind.pool)
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """Each kind of server in turn."""
    async with _serving(request.param) as served:
        yield served


@pytest.fixture(params=[None, *BACKEND_KINDS], ids=lambda kind: kind.pool if kind else "extractive")
async def candidate(request: pytest.FixtureRequest) -> AsyncIterator[Candidate]:
    """Each language model in turn."""
    if request.param is None:
        yield Candidate(ExtractiveModel(), "extractive")
        return
    async with _serving(request.param) as served:
        served.fake.models = (QUICK_MODEL,)
        # A server that goes on from a prefix tells so in its list.
        await served.models.models()
        yield Candidate(served.models, served.id_of(QUICK_MODEL))


@asynccontextmanager
async def _serving(kind: BackendKind) -> AsyncGenerator[Served]:
    async with (
        kind.open_fake() as fake,
        kind.open_models(fake.url, first_token_s=1.0, gap_s=1.0) as models,
    ):
        yield Served(kind, fake, models)
