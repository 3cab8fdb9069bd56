"""The OpenAI-compatible backend against the fake server: errors, clocks, stops, prefixes and what is sent."""

import asyncio
import logging
from contextlib import AsyncExitStack, aclosing

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turns import GenerationParams
from parley_llm.backends.openai_compatible import (
    Continues,
    OpenAiCompatibleModel,
    OpenAiOptions,
    open_openai,
)
from parley_llm.language_model import Chunk
from parley_llm.models import openai_options
from parley_llm.settings import LlmSettings

from tests.fakes.openai_server import CONTEXT_TOKENS, OpenAiFake, open_openai_fake
from tests.unit.llm.jobs import final_of, job_for, text_of

PACED = "openai/paced:ttft=0,gap=20,count=500"
QUICK = "openai/llama3.2:1b"
OPENAI_URL = "https://api.openai.com/v1"
KEY = "sk-not-to-be-seen"


async def chunks_of(model: OpenAiCompatibleModel, model_id: str, written: str = "") -> list[Chunk]:
    return [chunk async for chunk in model.generate(job_for(model_id), written=written)]


@pytest.mark.parametrize(
    ("model", "code", "is_retryable"),
    [
        ("unknown", ErrorCode.MODEL_NOT_FOUND, False),
        ("cut", ErrorCode.UPSTREAM_FAILED, True),
        ("unfinished", ErrorCode.UPSTREAM_FAILED, True),
        ("malformed", ErrorCode.UPSTREAM_FAILED, True),
        ("failing", ErrorCode.UPSTREAM_FAILED, True),
        ("stall", ErrorCode.TIMEOUT, True),
        ("silent", ErrorCode.TIMEOUT, True),
        ("error400", ErrorCode.UPSTREAM_FAILED, False),
        ("error401", ErrorCode.UPSTREAM_FAILED, False),
        ("error429", ErrorCode.OVERLOADED, True),
        ("quota429", ErrorCode.UPSTREAM_FAILED, False),
        ("error500", ErrorCode.UPSTREAM_FAILED, True),
        ("error503", ErrorCode.UNAVAILABLE, True),
    ],
)
async def test_each_failure_of_the_server_has_its_code(
    openai: OpenAiCompatibleModel, model: str, code: ErrorCode, is_retryable: bool
):
    with pytest.raises(ParleyError) as caught:
        await chunks_of(openai, f"openai/{model}")

    assert (caught.value.code, caught.value.retryable) == (code, is_retryable)
    assert "CUDA" not in caught.value.message
    assert "sk-" not in caught.value.message


@pytest.mark.parametrize("model", ["cut", "unfinished", "malformed", "failing", "stall"])
async def test_what_came_before_a_failure_is_passed_on(openai: OpenAiCompatibleModel, model: str):
    async with aclosing(openai.generate(job_for(f"openai/{model}"))) as chunks:
        seen = [await anext(chunks) for _ in range(3)]
        with pytest.raises(ParleyError):
            await anext(chunks)

    assert text_of(seen) == "c1w0 c1w1 c1w2 "


async def test_a_server_that_is_away_lists_nothing_and_is_unavailable(unused_tcp_port: int):
    async with open_openai(OpenAiOptions(base_url=f"http://127.0.0.1:{unused_tcp_port}/v1")) as away:
        assert await away.models() == ()
        with pytest.raises(ParleyError) as caught:
            await chunks_of(away, QUICK)

    assert (caught.value.code, caught.value.retryable) == (ErrorCode.UNAVAILABLE, True)


async def test_a_server_that_goes_away_later_is_unavailable():
    async with AsyncExitStack() as closing:
        async with open_openai_fake() as fake:
            options = OpenAiOptions(base_url=fake.base_url)
            openai = await closing.enter_async_context(open_openai(options))
            assert await openai.models()

        assert await openai.models() == ()
        with pytest.raises(ParleyError) as caught:
            await chunks_of(openai, QUICK)

    assert caught.value.code is ErrorCode.UNAVAILABLE


async def test_closing_the_answer_closes_the_stream_at_once(
    openai: OpenAiCompatibleModel, openai_fake: OpenAiFake
):
    chunks = openai.generate(job_for(PACED))
    await anext(chunks)

    await chunks.aclose()

    await openai_fake.until(lambda stats: len(stats.aborted_streams) == 1, within_s=0.5)
    assert openai_fake.stats.open_streams == 0


@pytest.mark.parametrize("model", [PACED, "openai/silent", "openai/stall"])
async def test_cancelling_who_waits_closes_the_stream_at_once(
    openai: OpenAiCompatibleModel, openai_fake: OpenAiFake, model: str
):
    async def read() -> None:
        async with aclosing(openai.generate(job_for(model))) as chunks:
            async for _ in chunks:
                pass

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        await openai_fake.until(lambda stats: stats.open_streams == 1, within_s=5)
        reading.cancel()

    await openai_fake.until(lambda stats: len(stats.aborted_streams) == 1, within_s=0.5)
    assert openai_fake.stats.completed_streams == 0


async def test_parameters_are_sent_and_the_usage_is_asked_for(
    openai: OpenAiCompatibleModel, openai_fake: OpenAiFake
):
    params = GenerationParams(temperature=0.1, top_p=0.9, max_tokens=7, seed=3, stop=("END",))

    chunks = [chunk async for chunk in openai.generate(job_for(QUICK, params=params))]

    assert openai_fake.requests[-1] == {
        "model": "llama3.2:1b",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "How do I descale the kettle?"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.1,
        "top_p": 0.9,
        "max_tokens": 7,
        "seed": 3,
        "stop": ["END"],
    }
    assert final_of(chunks).usage.completion_tokens == 7


@pytest.mark.parametrize(
    ("continues", "owned_by", "expected"),
    [
        ("auto", "vllm", True),
        ("auto", "llamacpp", True),
        ("auto", "organization-owner", False),
        ("true", "organization-owner", True),
        ("false", "vllm", False),
    ],
)
async def test_a_server_goes_on_when_it_is_set_or_known_to(
    openai_fake: OpenAiFake, continues: Continues, owned_by: str, expected: bool
):
    openai_fake.owned_by = owned_by

    async with open_openai(OpenAiOptions(base_url=openai_fake.base_url, continues=continues)) as model:
        await model.models()

        assert model.can_continue is expected


async def test_openai_itself_does_not_go_on_from_a_prefix():
    async with open_openai(OpenAiOptions(base_url=OPENAI_URL, api_key=KEY)) as model:
        assert model.can_continue is False


async def test_a_prefix_travels_as_the_last_message_with_the_two_fields(
    openai: OpenAiCompatibleModel, openai_fake: OpenAiFake
):
    begun = text_of((await chunks_of(openai, QUICK))[:3])
    rest = text_of(await chunks_of(openai, QUICK, begun))

    sent = openai_fake.requests[-1]
    assert sent["messages"][-1] == {"role": "assistant", "content": begun}
    assert (sent["continue_final_message"], sent["add_generation_prompt"]) == (True, False)
    assert rest.startswith("c1w3 ")


async def test_models_that_write_no_answers_are_not_listed_and_the_context_is_told(openai_fake: OpenAiFake):
    async with open_openai(OpenAiOptions(base_url=openai_fake.base_url)) as model:
        listed = await model.models()

    assert [info.id for info in listed] == ["openai/paced:ttft=50,gap=20,count=100", QUICK]
    assert {info.context_tokens for info in listed} == {CONTEXT_TOKENS}


async def test_a_wrong_key_lists_nothing_and_is_named_nowhere(
    openai_fake: OpenAiFake, caplog: pytest.LogCaptureFixture
):
    openai_fake.api_key = "sk-the-right-one"
    options = OpenAiOptions(base_url=openai_fake.base_url, api_key=KEY)

    with caplog.at_level(logging.DEBUG):
        async with open_openai(options) as model:
            assert await model.models() == ()
            with pytest.raises(ParleyError, match="refuses the API key"):
                await chunks_of(model, QUICK)

    assert KEY not in "".join(str(vars(record)) for record in caplog.records)
    assert KEY not in repr(options)


async def test_the_right_key_is_sent(openai_fake: OpenAiFake):
    openai_fake.api_key = KEY

    async with open_openai(OpenAiOptions(base_url=openai_fake.base_url, api_key=KEY)) as model:
        assert await model.models()


async def test_more_answers_stream_at_once_than_the_client_has_connections_by_default(
    openai_fake: OpenAiFake,
):
    async with (
        open_openai(OpenAiOptions(base_url=openai_fake.base_url)) as model,
        asyncio.TaskGroup() as tasks,
    ):
        readers = [
            tasks.create_task(chunks_of(model, "openai/paced:ttft=0,gap=300,count=3")) for _ in range(120)
        ]
    answers = [reader.result() for reader in readers]

    assert len({text_of(chunks) for chunks in answers}) == 120
    assert openai_fake.stats.completed_streams == 120


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""}, None),
        ({"OPENAI_API_KEY": KEY}, None),
        ({"OPENAI_BASE_URL": OPENAI_URL, "OPENAI_API_KEY": KEY}, (OPENAI_URL, KEY)),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:8001/v1"}, ("http://127.0.0.1:8001/v1", None)),
        (
            {"OPENAI_BASE_URL": "http://one/v1", "PARLEY_LLM_OPENAI_BASE_URL": "http://two/v1"},
            ("http://two/v1", None),
        ),
    ],
)
def test_a_server_is_used_when_its_address_is_set(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: tuple[str, str | None] | None
):
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    options = openai_options(LlmSettings())

    assert (None if options is None else (options.base_url, options.api_key)) == expected
    assert KEY not in repr(LlmSettings())
