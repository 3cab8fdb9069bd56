"""One stack for all tests of this folder: starting one takes longer than most of them."""

from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fakes.anthropic_server import AnthropicFake, open_anthropic_fake
from tests.fakes.ollama_server import OllamaFake, open_ollama_fake
from tests.fakes.openai_server import OpenAiFake, open_openai_fake
from tests.fakes.planned_answers import PLANS
from tests.integration.library import Library, ingest_library
from tests.integration.paced import DYING, FAILING, MODELS, QUICK
from tests.integration.stack import Stack, open_stack
from tests.integration.waiting import eventually

EXTRACTIVE_DELTA_MS = "8"
GATEWAYS = 2


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
        fake.models = (*MODELS, *FAILING, *DYING, *PLANS)
        # Slower than pieces are joined.
        fake.plan_gap_s = 0.02
        fake.api_key = "sk-upstream-of-the-stack"
        yield fake


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def anthropic_upstream() -> AsyncGenerator[AnthropicFake]:
    """The Messages API of the stack."""
    async with open_anthropic_fake() as fake:
        fake.models = (*MODELS, *FAILING)
        fake.api_key = "sk-ant-upstream-of-the-stack"
        yield fake


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_stack(
    tmp_path_factory: pytest.TempPathFactory,
    model_dir: Path,
    ollama: OllamaFake,
    openai_upstream: OpenAiFake,
    anthropic_upstream: AnthropicFake,
) -> AsyncGenerator[Stack]:
    """Two gateways and every service."""
    environment = {
        "OLLAMA_HOST": ollama.url,
        "PARLEY_LLM_OPENAI_BASE_URL": openai_upstream.base_url,
        "PARLEY_LLM_OPENAI_API_KEY": openai_upstream.api_key or "",
        "PARLEY_LLM_ANTHROPIC_BASE_URL": anthropic_upstream.url,
        "PARLEY_LLM_ANTHROPIC_API_KEY": anthropic_upstream.api_key or "",
        # What a server says of when to ask again goes to the client.
        "PARLEY_LLM_RETRY_WAIT_S": "1",
        "PARLEY_LLM_EXTRACTIVE_DELTA_MS": EXTRACTIVE_DELTA_MS,
        "PARLEY_ACCOUNTS_ERASURE_SETTLE_S": "1",
        "PARLEY_ACCOUNTS_AUDIT_ANCHOR_S": "1",
        "PARLEY_ACCOUNTS_DATA_JOBS_LEASE_S": "2",
        # The front page of the fake is the one private address that may be read.
        "PARLEY_BROWSER_ALLOW_HOSTS": ollama.url.removeprefix("http://"),
        "PARLEY_BROWSER_HTTP_HOSTS": ollama.url.removeprefix("http://"),
    }
    async with open_stack(
        tmp_path_factory.mktemp("stack"), model_dir=model_dir, gateways=GATEWAYS, environment=environment
    ) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def stack(running_stack: Stack) -> Stack:
    """The stack, whole again after a test that failed while it had stopped a part of it.

    Its upstream answers only while tests of this folder run: it may have counted as away.
    """
    await running_stack.mend()
    for gateway in range(GATEWAYS):
        await eventually(partial(_lists_the_upstream, running_stack, gateway))
    return running_stack


async def _lists_the_upstream(stack: Stack, gateway: int) -> bool:
    async with stack.http(gateway) as client:
        listed = (await client.get("/v1/models")).raise_for_status().json()["data"]
    return f"ollama/{QUICK}" in {model["id"] for model in listed}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def library(running_stack: Stack) -> Library:
    """Documents that have been ingested."""
    return await ingest_library(running_stack)
