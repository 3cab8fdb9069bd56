"""What Anthropic's Messages API alone is asked for, and how it alone answers, against the fake server."""

import json
import logging
from typing import Any

import pytest
from parley_contracts.errors import ParleyError
from parley_contracts.response_format import ResponseFormat
from parley_contracts.tools import ToolCall, ToolSpec
from parley_contracts.turns import ChatMessage, GenerationParams
from parley_llm.backends.anthropic import AnthropicOptions, open_anthropic
from parley_llm.backends.anthropic_prompt import LEFT_OUT
from parley_llm.backends.anthropic_request import ANSWER_IN_JSON
from parley_llm.backends.served_models import ServedModels
from parley_llm.language_model import Chunk, ReasoningChunk, ToolCallChunk
from parley_llm.models import anthropic_options
from parley_llm.settings import LlmSettings

from tests.fakes.anthropic_server import ANSWER_TOKENS, CONTEXT_TOKENS, AnthropicFake
from tests.fakes.scripted_answers import QUICK_MODEL
from tests.unit.llm.jobs import final_of, job_for, text_of

QUICK = f"anthropic/{QUICK_MODEL}"
API = "https://api.anthropic.com"
KEY = "sk-ant-not-to-be-seen"
MARK = {"type": "ephemeral"}
WEATHER = ToolSpec(
    name="weather",
    description="Tells the weather.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}},
)
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def said(role: Any, content: str, **more: Any) -> ChatMessage:
    return ChatMessage(role=role, content=content, **more)


async def chunks_of(
    models: ServedModels,
    model_id: str = QUICK,
    *,
    messages: tuple[ChatMessage, ...] | None = None,
    tools: tuple[ToolSpec, ...] = (),
    **params: Any,
) -> list[Chunk]:
    job = job_for(model_id, params=GenerationParams(**params)).model_copy(update={"tools": tools})
    if messages is not None:
        job = job.model_copy(update={"messages": messages})
    return [chunk async for chunk in models.generate(job)]


def texts(turn: dict[str, Any]) -> list[str]:
    return [block["text"] for block in turn["content"]]


def marked(body: dict[str, Any]) -> list[str]:
    blocks = [*body.get("system", []), *(block for turn in body["messages"] for block in turn["content"])]
    return [block.get("text") or block["type"] for block in blocks if "cache_control" in block]


@pytest.mark.parametrize(
    ("version", "sampling"),
    [("2023-06-01", {"temperature": 1.0}), ("2026-10-21", {})],
    ids=["older", "newest"],
)
async def test_parameters_are_sent_as_the_version_of_the_api_knows_them(
    anthropic_fake: AnthropicFake, version: str, sampling: dict[str, float]
):
    anthropic_fake.api_key = KEY
    async with open_anthropic(
        AnthropicOptions(url=anthropic_fake.url, api_key=KEY, version=version)
    ) as models:
        assert await models.models()
        chunks = await chunks_of(models, temperature=1.7, top_p=0.9, max_tokens=7, seed=3, stop=("END", " "))

    assert anthropic_fake.requests[-1] == {
        "model": QUICK_MODEL,
        "max_tokens": 7,
        "stream": True,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": MARK}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "How do I descale the kettle?"}]}],
        "stop_sequences": ["END"],
        **sampling,
    }
    assert final_of(chunks).finish_reason == "length"


async def test_the_length_of_an_answer_is_always_named_and_never_above_what_the_model_can(
    claude: ServedModels, anthropic_fake: AnthropicFake
):
    await chunks_of(claude)
    await chunks_of(claude, max_tokens=131_072)

    assert [body["max_tokens"] for body in anthropic_fake.requests] == [8192, ANSWER_TOKENS]


@pytest.mark.parametrize(
    ("form", "ending", "text"),
    [
        ("crlf", "stop", True),
        ("cr", "stop", True),
        ("commented", "stop", True),
        ("unspaced", "stop", True),
        ("unterminated", "stop", True),
        ("usage-later", "stop", True),
        ("usage-strings", "stop", True),
        ("stop-sequence", "stop", True),
        ("context-full", "length", True),
        ("filtered", "content_filter", True),
        ("nothing-but-done", "stop", False),
    ],
)
async def test_an_answer_is_whole_however_its_stream_is_written(
    claude: ServedModels, form: str, ending: str, text: bool
):
    chunks = await chunks_of(claude, f"anthropic/form:{form}")

    usage = final_of(chunks).usage
    assert text_of(chunks) == ("c1w0 c1w1 c1w2 c1w3 " if text else "")
    assert final_of(chunks).finish_reason == ending
    assert usage.prompt_tokens > 0
    assert usage.completion_tokens == (0 if form in {"usage-strings", "nothing-but-done"} else 4)


async def test_thoughts_are_pieces_of_their_own(claude: ServedModels):
    chunks = await chunks_of(claude, "anthropic/form:thinking")

    assert [chunk.text for chunk in chunks if isinstance(chunk, ReasoningChunk)] == ["The user ", "counts."]
    assert isinstance(chunks[0], ReasoningChunk)
    assert text_of(chunks) == "c1w0 c1w1 c1w2 c1w3 "
    assert final_of(chunks).usage.reasoning_tokens == 2


async def test_calls_of_tools_are_numbered_among_themselves(claude: ServedModels):
    chunks = await chunks_of(claude, "anthropic/form:two-tools", tools=(WEATHER,))

    pieces = [chunk for chunk in chunks if isinstance(chunk, ToolCallChunk)]
    heads = [(piece.index, piece.id, piece.name) for piece in pieces if piece.id]
    arguments = ["".join(piece.arguments for piece in pieces if piece.index == index) for index in (0, 1)]
    assert heads == [(0, "toolu_1_0", "weather"), (1, "toolu_1_1", "weather")]
    assert [json.loads(text) for text in arguments] == [{"city": "Paris"}, {"city": "Oslo"}]
    assert final_of(chunks).finish_reason == "tool_calls"


CALLED = (
    said("system", "Be brief."),
    said("user", "Paris and Oslo?"),
    said(
        "assistant",
        "I look.",
        tool_calls=(
            ToolCall(id="a", name="weather", arguments='{"city": "Paris"}'),
            ToolCall(id="b", name="weather", arguments="not json"),
        ),
    ),
    said("tool", "rain", tool_call_id="a"),
    said("tool", "snow", tool_call_id="b"),
)


async def test_results_of_tools_are_one_turn_of_the_user(claude: ServedModels, anthropic_fake: AnthropicFake):
    await chunks_of(claude, messages=CALLED, tools=(WEATHER,), reasoning_effort="high")

    body = anthropic_fake.requests[-1]
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert [block.get("input") for block in body["messages"][1]["content"]] == [
        None,
        {"city": "Paris"},
        {"arguments": "not json"},
    ]
    assert [block["tool_use_id"] for block in body["messages"][2]["content"]] == ["a", "b"]
    assert "thinking" not in body


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": "weather"}, {"type": "tool", "name": "weather"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
    ids=["unset", "auto", "none", "required", "named", "one-at-a-time"],
)
async def test_which_tool_is_called_is_said_in_the_words_of_the_api(
    claude: ServedModels, anthropic_fake: AnthropicFake, params: dict[str, Any], expected: Any
):
    await chunks_of(claude, tools=(WEATHER,), **params)
    body = anthropic_fake.requests[-1]
    await chunks_of(claude, **params)

    assert body.get("tool_choice") == expected
    assert body["tools"] == [
        {"name": "weather", "description": "Tells the weather.", "input_schema": WEATHER.parameters}
    ]
    assert "tool_choice" not in anthropic_fake.requests[-1]


async def test_the_next_turn_reads_the_conversation_from_the_cache_of_the_provider(claude: ServedModels):
    opening = (said("system", "Be brief. " * 40), said("user", "One? " * 40))
    later = (*opening, said("assistant", "Two. " * 40), said("user", "Three?"))
    last = (*later, said("assistant", "Four."), said("user", "Five?"))

    counts = [
        final_of(await chunks_of(claude, messages=messages)).usage for messages in (opening, later, last)
    ]

    assert counts[0].cached_tokens == 0
    assert 80 <= counts[1].cached_tokens < 100
    assert counts[2].cached_tokens > 160
    assert all(usage.cached_tokens < usage.prompt_tokens for usage in counts)


async def test_what_the_next_request_repeats_is_marked_and_nothing_else(
    claude: ServedModels, anthropic_fake: AnthropicFake
):
    history = (said("user", "One?"), said("assistant", "Two."), said("user", "Three?"))
    await chunks_of(claude, messages=(said("system", "Be brief."), *history))
    await chunks_of(claude, messages=CALLED, tools=(WEATHER,))

    plain, called = list(anthropic_fake.requests)[-2:]
    assert marked(plain) == ["Be brief.", "Two."]
    assert marked(called) == ["Be brief.", "tool_result"]


async def test_a_conversation_that_begins_with_an_answer_gets_a_beginning(
    claude: ServedModels, anthropic_fake: AnthropicFake
):
    await chunks_of(
        claude, messages=(said("assistant", "Two."), said("user", "Three?"), said("user", "Four?"))
    )

    turns = anthropic_fake.requests[-1]["messages"]
    assert [texts(turn) for turn in turns] == [[LEFT_OUT], ["Two."], ["Three?", "Four?"]]


@pytest.mark.parametrize(
    ("effort", "thinking", "output"),
    [
        ("none", {"type": "disabled"}, None),
        ("low", {"type": "adaptive", "display": "summarized"}, {"effort": "low"}),
        ("xhigh", {"type": "adaptive", "display": "summarized"}, {"effort": "high"}),
    ],
)
async def test_thinking_is_asked_for_as_the_model_can(
    claude: ServedModels, anthropic_fake: AnthropicFake, effort: str, thinking: Any, output: Any
):
    await chunks_of(claude, reasoning_effort=effort)

    body = anthropic_fake.requests[-1]
    assert (body.get("thinking"), body.get("output_config")) == (thinking, output)


async def test_a_server_that_tells_nothing_of_its_models_is_asked_for_nothing_special(
    anthropic_fake: AnthropicFake,
):
    anthropic_fake.tells_capabilities = False
    wanted = ResponseFormat.model_validate(
        {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    )
    async with open_anthropic(AnthropicOptions(url=anthropic_fake.url)) as models:
        listed = await models.models()
        await chunks_of(models, reasoning_effort="high", response_format=wanted)

    body = anthropic_fake.requests[-1]
    assert not {"thinking", "output_config"} & set(body)
    assert body["system"][-1]["text"].startswith(ANSWER_IN_JSON)
    assert '"integer"' in body["system"][-1]["text"]
    assert listed[0].context_tokens == 200_000
    assert listed[0].capabilities == ("tools", "json")


async def test_a_schema_is_sent_where_the_model_follows_one(
    claude: ServedModels, anthropic_fake: AnthropicFake
):
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    await chunks_of(claude, response_format=wanted)
    await chunks_of(claude, response_format={"type": "json_object"})

    by_schema, free = list(anthropic_fake.requests)[-2:]
    assert by_schema["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}
    assert [block["text"] for block in by_schema["system"]] == ["Be brief."]
    assert [block["text"] for block in free["system"]] == ["Be brief.", ANSWER_IN_JSON]


async def test_models_are_listed_with_what_they_can(claude: ServedModels):
    listed = await claude.models()

    assert {info.context_tokens for info in listed} == {CONTEXT_TOKENS}
    assert {info.capabilities for info in listed} == {("tools", "vision", "json", "reasoning")}
    assert {info.owned_by for info in listed} == {"anthropic"}


async def test_a_wrong_key_lists_nothing_and_is_named_nowhere(
    anthropic_fake: AnthropicFake, caplog: pytest.LogCaptureFixture
):
    anthropic_fake.api_key = "sk-ant-the-right-one"
    options = AnthropicOptions(url=anthropic_fake.url, api_key=KEY)

    with caplog.at_level(logging.DEBUG):
        async with open_anthropic(options) as models:
            assert await models.models() == ()
            with pytest.raises(ParleyError, match="refuses the API key"):
                await chunks_of(models)

    assert KEY not in "".join(str(vars(record)) for record in caplog.records)
    assert KEY not in repr(options)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"ANTHROPIC_API_KEY": KEY}, None),
        ({"ANTHROPIC_BASE_URL": "", "ANTHROPIC_API_KEY": KEY}, None),
        ({"ANTHROPIC_BASE_URL": API, "ANTHROPIC_API_KEY": KEY}, (API, KEY)),
        ({"ANTHROPIC_BASE_URL": f"{API}/v1/"}, (API, None)),
        (
            {"ANTHROPIC_BASE_URL": "http://one", "PARLEY_LLM_ANTHROPIC_BASE_URL": "http://two"},
            ("http://two", None),
        ),
    ],
    ids=["nothing", "key-alone", "empty", "both", "with-version", "ours-first"],
)
def test_the_api_is_used_when_its_address_is_set(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: tuple[str, str | None] | None
):
    for name in ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    options = anthropic_options(LlmSettings())

    assert (None if options is None else (options.url, options.api_key)) == expected
    assert KEY not in repr(LlmSettings())
