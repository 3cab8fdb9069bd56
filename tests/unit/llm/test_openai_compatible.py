"""What an OpenAI-compatible server alone is asked for, and how it alone answers, against the fake server."""

import logging

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turns import GenerationParams
from parley_llm.backends.openai_compatible import Continues, OpenAiOptions, open_openai
from parley_llm.backends.served_models import ServedModels
from parley_llm.language_model import Chunk
from parley_llm.models import openai_options
from parley_llm.settings import LlmSettings

from tests.fakes.openai_server import CONTEXT_TOKENS, OpenAiFake
from tests.unit.llm.jobs import final_of, job_for, text_of

QUICK = "openai/llama3.2:1b"
OPENAI_URL = "https://api.openai.com/v1"
KEY = "sk-not-to-be-seen"


async def chunks_of(model: ServedModels, model_id: str, written: str = "") -> list[Chunk]:
    return [chunk async for chunk in model.generate(job_for(model_id), written=written)]


@pytest.mark.parametrize(
    ("name", "code", "is_retryable"),
    [
        ("quota429", ErrorCode.UPSTREAM_FAILED, False),
        ("failing429", ErrorCode.OVERLOADED, True),
        ("failing_quota", ErrorCode.UPSTREAM_FAILED, False),
        ("form:nothing-but-done", ErrorCode.UNAVAILABLE, True),
    ],
)
async def test_the_code_of_an_error_tells_more_than_its_status(
    openai: ServedModels, name: str, code: ErrorCode, is_retryable: bool
):
    with pytest.raises(ParleyError) as caught:
        await chunks_of(openai, f"openai/{name}")

    assert (caught.value.code, caught.value.retryable) == (code, is_retryable)


@pytest.mark.parametrize(
    "form",
    [
        "crlf",
        "cr",
        "commented",
        "named",
        "unspaced",
        "several-lines",
        "unterminated",
        "done-alone",
        "without-done",
        "usage-with-finish",
        "usage-later",
        "usage-absent",
        "usage-null",
        "usage-strings",
        "usage-in-part",
        "usage-a-number",
    ],
)
async def test_an_answer_is_whole_however_its_stream_is_written(openai: ServedModels, form: str):
    chunks = await chunks_of(openai, f"openai/form:{form}")

    prompt_tokens, completion_tokens = {
        "unterminated": (0, 0),
        "usage-absent": (0, 0),
        "usage-null": (0, 0),
        "usage-strings": (8, 0),
        "usage-in-part": (0, 4),
        "usage-a-number": (0, 0),
    }.get(form, (8, 4))
    final = final_of(chunks)
    assert text_of(chunks) == "c1w0 c1w1 c1w2 c1w3 "
    assert final.finish_reason == "stop"
    assert (final.usage.prompt_tokens, final.usage.completion_tokens) == (prompt_tokens, completion_tokens)


async def test_parameters_are_sent_and_the_usage_is_asked_for(openai: ServedModels, openai_fake: OpenAiFake):
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

    async with open_openai(OpenAiOptions(url=openai_fake.base_url, continues=continues)) as model:
        await model.models()

        assert model.can_continue is expected


async def test_openai_itself_does_not_go_on_from_a_prefix():
    async with open_openai(OpenAiOptions(url=OPENAI_URL, api_key=KEY)) as model:
        assert model.can_continue is False


async def test_a_prefix_travels_as_the_last_message_with_the_two_fields(
    openai: ServedModels, openai_fake: OpenAiFake
):
    begun = text_of((await chunks_of(openai, QUICK))[:3])
    rest = text_of(await chunks_of(openai, QUICK, begun))

    sent = openai_fake.requests[-1]
    assert sent["messages"][-1] == {"role": "assistant", "content": begun}
    assert (sent["continue_final_message"], sent["add_generation_prompt"]) == (True, False)
    assert rest.startswith("c1w3 ")


async def test_the_context_of_a_model_is_what_the_server_tells(openai: ServedModels):
    assert {info.context_tokens for info in await openai.models()} == {CONTEXT_TOKENS}


async def test_a_wrong_key_lists_nothing_and_is_named_nowhere(
    openai_fake: OpenAiFake, caplog: pytest.LogCaptureFixture
):
    openai_fake.api_key = "sk-the-right-one"
    options = OpenAiOptions(url=openai_fake.base_url, api_key=KEY)

    with caplog.at_level(logging.DEBUG):
        async with open_openai(options) as model:
            assert await model.models() == ()
            with pytest.raises(ParleyError, match="refuses the API key"):
                await chunks_of(model, QUICK)

    assert KEY not in "".join(str(vars(record)) for record in caplog.records)
    assert KEY not in repr(options)


async def test_the_right_key_is_sent(openai_fake: OpenAiFake):
    openai_fake.api_key = KEY

    async with open_openai(OpenAiOptions(url=openai_fake.base_url, api_key=KEY)) as model:
        assert await model.models()


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

    assert (None if options is None else (options.url, options.api_key)) == expected
    assert KEY not in repr(LlmSettings())
