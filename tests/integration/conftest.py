"""One stack for all tests of this folder: starting one takes longer than most of them."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fakes.ollama_server import OllamaFake, open_ollama_fake
from tests.fakes.openai_server import OpenAiFake, open_openai_fake
from tests.integration.library import Library, ingest_library
from tests.integration.paced import MODELS
from tests.integration.stack import Stack, open_stack

EXTRACTIVE_DELTA_MS = "8"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ollama() -> AsyncGenerator[OllamaFake]:
    """The upstream of the stack."""
    async with open_ollama_fake() as fake:
        fake.models = MODELS
        yield fake


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def openai_upstream() -> AsyncGenerator[OpenAiFake]:
    """The OpenAI-compatible upstream of the stack; it goes on from a prefix as vLLM does."""
    async with open_openai_fake() as fake:
        fake.models = MODELS
        fake.api_key = "sk-upstream"
        yield fake


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_stack(
    tmp_path_factory: pytest.TempPathFactory, model_dir: Path, ollama: OllamaFake, openai_upstream: OpenAiFake
) -> AsyncGenerator[Stack]:
    """Two gateways and every service."""
    environment = {
        "OLLAMA_HOST": ollama.url,
        "PARLEY_LLM_OPENAI_BASE_URL": openai_upstream.base_url,
        "PARLEY_LLM_OPENAI_API_KEY": openai_upstream.api_key or "",
        "PARLEY_LLM_EXTRACTIVE_DELTA_MS": EXTRACTIVE_DELTA_MS,
        # The front page of the fake is the one private address that may be read.
        "PARLEY_BROWSER_ALLOW_HOSTS": ollama.url.removeprefix("http://"),
    }
    async with open_stack(
        tmp_path_factory.mktemp("stack"), model_dir=model_dir, gateways=2, environment=environment
    ) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def stack(running_stack: Stack) -> Stack:
    """The stack, whole again after a test that failed while it had stopped a part of it."""
    await running_stack.mend()
    return running_stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def library(running_stack: Stack) -> Library:
    """Documents that have been ingested."""
    return await ingest_library(running_stack)
