"""What the chaos runs share: an upstream whose every call writes text of its own, and the stack under it."""

import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.chaos.upstream import MODELS
from tests.fakes.ollama_server import OllamaFake, open_ollama_fake
from tests.integration.stack import BROKERS, Stack, open_stack

SERVICES = ("llm-0", "llm-1", "npu", "rag", "memory")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ollama() -> AsyncGenerator[OllamaFake]:
    """The upstream of the stack."""
    async with open_ollama_fake() as fake:
        fake.models = MODELS
        yield fake


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_stack(
    tmp_path_factory: pytest.TempPathFactory, model_dir: Path, ollama: OllamaFake
) -> AsyncGenerator[Stack]:
    """Two gateways, two language-model workers, and one each of the other services but the browser."""
    async with open_stack(
        tmp_path_factory.mktemp("stack"),
        model_dir=model_dir,
        gateways=2,
        services=SERVICES,
        environment={"OLLAMA_HOST": ollama.url, "PARLEY_LLM_SLOTS": "128"},
    ) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def stack(running_stack: Stack) -> AsyncGenerator[Stack]:
    """The stack, whole again after a test that has left a part of it dead; no service may end by itself."""
    await running_stack.mend()
    yield running_stack
    dead = [process for process in running_stack.processes.values() if not process.is_running]
    codes = {process.name: await process.ended() for process in dead if process.name not in BROKERS}
    assert set(codes.values()) <= {0, -signal.SIGKILL}, codes
