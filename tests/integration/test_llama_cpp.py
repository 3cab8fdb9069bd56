"""A server of models that we did not write, llama.cpp's, with a tiny random model, behind a gateway."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from parley_contracts.turns import GenerationParams
from parley_llm.backends.openai_compatible import OpenAiOptions, open_openai

from tests.conftest import free_port
from tests.fakes.tiny_gguf import CONTEXT_TOKENS, WORDS, write_tiny_gguf
from tests.integration.stack import Stack, open_stack
from tests.integration.stack_process import StackProcess
from tests.plain_http import NO_CERTIFICATES
from tests.stack_marks import STACK_WITHOUT_MODEL
from tests.unit.llm.jobs import final_of, job_for, text_of

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("PARLEY_LLAMACPP", str(ROOT / "data" / "llamacpp"))) / "bin" / "python"
MODEL = "openai/tiny"

pytestmark = [
    *STACK_WITHOUT_MODEL,
    pytest.mark.skipif(
        not PYTHON.exists(),
        reason="llama-cpp-python is not installed: `make llamacpp` builds it and runs this",
    ),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    """Run the server until the tests are over."""
    folder: Path = tmp_path_factory.mktemp("llamacpp")
    write_tiny_gguf(folder / "tiny.gguf")
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"

    async def is_ready(_: str) -> bool:
        async with httpx.AsyncClient(verify=NO_CERTIFICATES, trust_env=False) as client:
            try:
                return (await client.get(f"{url}/models")).status_code == 200
            except httpx.TransportError:
                return False

    asked = {"model": "tiny.gguf", "model_alias": "tiny", "host": "127.0.0.1", "port": str(port)}
    asked |= {"n_ctx": str(CONTEXT_TOKENS), "n_threads": "1"}
    options = [part for name, value in asked.items() for part in (f"--{name}", value)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    argv = [str(PYTHON), "-m", "llama_cpp.server", *options]
    process = StackProcess("llamacpp", argv, environment, folder, is_ready)
    await process.start()
    yield url
    await process.close()


async def test_its_model_is_listed_and_streams_through_the_backend(server_url: str) -> None:
    async with open_openai(OpenAiOptions(url=server_url)) as models:
        (listed,) = await models.models()
        params = GenerationParams(temperature=0, max_tokens=24, seed=1)
        job = job_for(MODEL, "Say something.", params=params)
        chunks = [chunk async for chunk in models.generate(job)]
        again = [chunk async for chunk in models.generate(job)]

    assert listed.id == MODEL
    assert listed.price is None
    assert len(chunks) > 10
    said = text_of(chunks).split()
    assert said
    assert set(said) <= set(WORDS)
    assert text_of(again) == text_of(chunks)
    end = final_of(chunks)
    assert end.finish_reason == "length"


async def test_an_answer_that_is_left_ends_and_the_next_is_whole(server_url: str) -> None:
    async with open_openai(OpenAiOptions(url=server_url)) as models:
        params = GenerationParams(temperature=0, max_tokens=400)
        left = models.generate(job_for(MODEL, "Go on.", params=params))
        await anext(left)
        await left.aclose()
        short = job_for(MODEL, "Go on.", params=GenerationParams(temperature=0, max_tokens=8))
        chunks = [chunk async for chunk in models.generate(short)]

    assert final_of(chunks).finish_reason == "length"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own_stack(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stack]:
    """A stack whose models are those of llama.cpp's server."""
    folder: Path = tmp_path_factory.mktemp("stack")
    environment = {"OPENAI_BASE_URL": server_url, "OLLAMA_HOST": "http://127.0.0.1:9"}
    async with open_stack(
        folder, model_dir=folder, services=("llm", "memory"), environment=environment
    ) as stack:
        yield stack


async def test_a_client_of_the_gateway_reads_its_stream(own_stack: Stack) -> None:
    async with AsyncOpenAI(
        base_url=f"{own_stack.url()}/v1", api_key=own_stack.owner_key, max_retries=0
    ) as client:
        stream = await client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Say something."}],
            max_tokens=16,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"collections": []},
        )
        chunks = [chunk async for chunk in stream]

    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert set(text.split()) <= set(WORDS)
    assert text
    assert reasons == ["length"]
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens > 0
