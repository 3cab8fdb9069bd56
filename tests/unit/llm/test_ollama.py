"""The Ollama backend against the fake server: errors, clocks, stops and what is sent."""

import asyncio
from contextlib import AsyncExitStack, aclosing

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turns import GenerationParams
from parley_llm.backends.ollama import OllamaModel, OllamaOptions, open_ollama
from parley_llm.language_model import Chunk

from tests.fakes.ollama_server import OllamaFake, open_ollama_fake
from tests.unit.llm.jobs import job_for, text_of

PACED = "ollama/paced:ttft=0,gap=20,count=500"


@pytest.mark.parametrize(
    ("model", "code", "is_retryable"),
    [
        ("unknown", ErrorCode.MODEL_NOT_FOUND, False),
        ("cut", ErrorCode.UPSTREAM_FAILED, True),
        ("unfinished", ErrorCode.UPSTREAM_FAILED, True),
        ("malformed", ErrorCode.UPSTREAM_FAILED, True),
        ("failing", ErrorCode.UPSTREAM_FAILED, True),
        ("error500", ErrorCode.UPSTREAM_FAILED, True),
        ("stall", ErrorCode.TIMEOUT, True),
        ("silent", ErrorCode.TIMEOUT, True),
    ],
)
async def test_each_failure_of_the_server_has_its_code(
    ollama: OllamaModel, model: str, code: ErrorCode, is_retryable: bool
):
    with pytest.raises(ParleyError) as caught:
        async for _ in ollama.generate(job_for(f"ollama/{model}")):
            pass

    assert (caught.value.code, caught.value.retryable) == (code, is_retryable)
    assert "runner process" not in caught.value.message
    assert "out of memory" not in caught.value.message


async def test_a_server_that_is_away_lists_nothing_and_is_unavailable(unused_tcp_port: int):
    async with open_ollama(OllamaOptions(host=f"http://127.0.0.1:{unused_tcp_port}")) as away:
        assert await away.models() == ()
        with pytest.raises(ParleyError) as caught:
            await anext(away.generate(job_for("ollama/llama3.2:1b")))

    assert (caught.value.code, caught.value.retryable) == (ErrorCode.UNAVAILABLE, True)


async def test_a_server_that_goes_away_later_is_unavailable():
    async with AsyncExitStack() as closing:
        async with open_ollama_fake() as fake:
            ollama = await closing.enter_async_context(open_ollama(OllamaOptions(host=fake.url)))
            assert await ollama.models()

        assert await ollama.models() == ()
        with pytest.raises(ParleyError) as caught:
            await anext(ollama.generate(job_for("ollama/llama3.2:1b")))

    assert caught.value.code is ErrorCode.UNAVAILABLE


async def test_closing_the_answer_closes_the_stream_at_once(ollama: OllamaModel, fake: OllamaFake):
    chunks = ollama.generate(job_for(PACED))
    await anext(chunks)

    await chunks.aclose()

    await fake.until(lambda stats: len(stats.aborted_streams) == 1, within_s=0.5)
    assert fake.stats.open_streams == 0


@pytest.mark.parametrize("model", [PACED, "ollama/silent", "ollama/stall"])
async def test_cancelling_who_waits_closes_the_stream_at_once(
    ollama: OllamaModel, fake: OllamaFake, model: str
):
    async def read() -> None:
        async with aclosing(ollama.generate(job_for(model))) as chunks:
            async for _ in chunks:
                pass

    await ollama.models()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        await fake.until(lambda stats: stats.open_streams == 1, within_s=5)
        reading.cancel()

    await fake.until(lambda stats: len(stats.aborted_streams) == 1, within_s=0.5)
    assert fake.stats.completed_streams == 0


async def test_parameters_and_the_context_length_are_sent(ollama: OllamaModel, fake: OllamaFake):
    params = GenerationParams(temperature=0.1, top_p=0.9, max_tokens=7, seed=3, stop=("END",))

    async for _ in ollama.generate(job_for("ollama/llama3.2:1b", params=params)):
        pass

    sent = fake.requests[-1]
    assert sent["options"] == {
        "temperature": 0.1,
        "top_p": 0.9,
        "num_predict": 7,
        "seed": 3,
        "stop": ["END"],
        "num_ctx": 8192,
    }
    assert sent["keep_alive"] == "30m"


async def test_models_that_only_embed_are_not_listed(ollama: OllamaModel):
    ids = [info.id for info in await ollama.models()]

    assert ids[0] == "ollama/llama3.2:1b"
    assert not any("nomic" in model_id for model_id in ids)


async def test_the_preferred_model_is_loaded_with_the_context_that_answers_use(
    ollama: OllamaModel, fake: OllamaFake
):
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(ollama.keep_loaded())
        await fake.until(lambda stats: stats.loads == 1, within_s=5)
        watch.cancel()

    sent = fake.requests[-1]
    assert sent["model"] == "llama3.2:1b"
    assert sent["options"] == {"num_ctx": 8192}
    assert sent["keep_alive"] == "30m"


async def test_more_answers_stream_at_once_than_the_client_has_connections_by_default(fake: OllamaFake):
    job = job_for("ollama/paced:ttft=0,gap=300,count=3")

    async def read(model: OllamaModel) -> list[Chunk]:
        return [chunk async for chunk in model.generate(job)]

    async with open_ollama(OllamaOptions(host=fake.url)) as model, asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(read(model)) for _ in range(120)]
    answers = [reader.result() for reader in readers]

    assert len({text_of(chunks) for chunks in answers}) == 120
    assert fake.stats.completed_streams == 120
