"""Tools, reasoning and shapes through the servers that speak of them: what is asked, and what is read."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from parley_contracts.llm import GenerateJob
from parley_contracts.response_format import ResponseFormat
from parley_contracts.tools import ToolCall, ToolSpec
from parley_contracts.turns import ChatMessage, GenerationParams
from parley_llm.backends.served_models import ServedModels
from parley_llm.language_model import Chunk, ReasoningChunk, TextChunk, ToolCallChunk

from tests.fakes.ollama_server import OllamaFake
from tests.fakes.openai_server import OpenAiFake
from tests.fakes.planned_answers import CACHED_TOKENS, REFUSAL, THOUGHTS, WORDS
from tests.unit.llm.backend_kinds import OLLAMA, OPENAI, BackendKind, Served
from tests.unit.llm.jobs import final_of, job_for, text_of

CITY = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
ARGUMENTS = {"city": 'some "text"', "days": 7}
WEATHER = ToolSpec(name="weather", description="The weather of a city.", parameters=CITY)
NOW = ToolSpec(name="now", is_strict=True)
SCHEMA = ResponseFormat.model_validate(
    {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY, "strict": True}}
)


@pytest.fixture(params=[OLLAMA, OPENAI], ids=lambda kind: kind.pool)
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    kind: BackendKind = request.param
    async with (
        kind.open_fake() as fake,
        kind.open_models(fake.url, first_token_s=2, gap_s=2) as models,
    ):
        yield Served(kind, fake, models)


def job_of(
    model: str, params: GenerationParams | None = None, *tools: ToolSpec, said: tuple[ChatMessage, ...] = ()
) -> GenerateJob:
    job = job_for(model, params=params)
    return job.model_copy(update={"tools": tools, "messages": (*job.messages, *said)})


async def chunks_of(models: ServedModels, job: GenerateJob) -> list[Chunk]:
    return [chunk async for chunk in models.generate(job)]


def calls_in(chunks: list[Chunk]) -> list[tuple[str | None, dict[str, Any]]]:
    """Return the calls that chunks make up: their names and arguments."""
    names: dict[int, str | None] = {}
    arguments: dict[int, str] = {}
    for chunk in chunks:
        if isinstance(chunk, ToolCallChunk):
            names.setdefault(chunk.index, chunk.name)
            arguments[chunk.index] = arguments.get(chunk.index, "") + chunk.arguments
    return [(names[index], json.loads(arguments[index])) for index in sorted(names)]


async def test_calls_of_tools_come_in_pieces_and_end_the_answer(served: Served) -> None:
    chunks = await chunks_of(served.models, job_of(served.id_of("plan:tools"), None, WEATHER, NOW))

    firsts = [chunk for chunk in chunks if isinstance(chunk, ToolCallChunk) and chunk.name]
    assert calls_in(chunks) == [("weather", ARGUMENTS), ("now", {})]
    assert [chunk.index for chunk in firsts] == [0, 1]
    assert len({chunk.id for chunk in firsts if chunk.id}) == 2
    assert final_of(chunks).finish_reason == "tool_calls"
    assert final_of(chunks).usage.prompt_tokens > 0


async def test_a_model_that_has_the_results_of_its_tools_answers_from_them(served: Served) -> None:
    called = ToolCall(id="call_1", name="weather", arguments=json.dumps(ARGUMENTS))
    said = (
        ChatMessage(role="assistant", content="", tool_calls=(called,)),
        ChatMessage(role="tool", content="It rains.", tool_call_id="call_1"),
    )
    chunks = await chunks_of(served.models, job_of(served.id_of("plan:tools"), None, WEATHER, said=said))

    assert text_of(chunks) == "The tools said: It rains."
    assert final_of(chunks).finish_reason == "stop"
    assistant, result = served.fake.requests[-1]["messages"][-2:]
    if served.kind is OPENAI:
        function = {"name": "weather", "arguments": called.arguments}
        assert assistant["tool_calls"] == [{"id": "call_1", "type": "function", "function": function}]
        assert result == {"role": "tool", "content": "It rains.", "tool_call_id": "call_1"}
    else:
        assert assistant["tool_calls"] == [{"function": {"name": "weather", "arguments": ARGUMENTS}}]
        assert result == {"role": "tool", "content": "It rains.", "tool_name": "weather"}


async def test_what_is_thought_is_told_apart_from_the_answer(served: Served) -> None:
    chunks = await chunks_of(served.models, job_of(served.id_of("plan:thinker")))

    thoughts = [chunk.text for chunk in chunks if isinstance(chunk, ReasoningChunk)]
    assert thoughts == list(THOUGHTS)
    assert text_of(chunks) == "".join(WORDS)
    assert chunks.index(ReasoningChunk(THOUGHTS[-1])) < chunks.index(TextChunk(WORDS[0]))


async def test_an_answer_follows_the_schema_that_is_sent(served: Served) -> None:
    params = GenerationParams(response_format=SCHEMA)
    chunks = await chunks_of(served.models, job_of(served.id_of("plan:json"), params))

    assert json.loads(text_of(chunks)) == ARGUMENTS
    sent = served.fake.requests[-1]
    if served.kind is OPENAI:
        schema = {"name": "city", "schema": CITY, "strict": True}
        assert sent["response_format"] == {"type": "json_schema", "json_schema": schema}
    else:
        assert sent["format"] == CITY


async def test_json_of_any_shape_is_asked_for_in_each_servers_words(served: Served) -> None:
    params = GenerationParams(response_format=ResponseFormat(type="json_object"))
    await chunks_of(served.models, job_of(served.id_of("plan:json"), params))

    sent = served.fake.requests[-1]
    expected = {"type": "json_object"} if served.kind is OPENAI else "json"
    assert sent["response_format" if served.kind is OPENAI else "format"] == expected


async def test_the_likelihood_of_tokens_is_passed_on_where_it_is_asked_for(served: Served) -> None:
    params = GenerationParams(logprobs=True, top_logprobs=2)
    chunks = await chunks_of(served.models, job_of(served.id_of("plan:thinker"), params))
    plain = await chunks_of(served.models, job_of(served.id_of("plan:thinker")))

    texts = [chunk for chunk in chunks if isinstance(chunk, TextChunk)]
    assert [one.logprobs and one.logprobs[0]["token"] for one in texts] == list(WORDS)
    assert {chunk.logprobs for chunk in plain if isinstance(chunk, TextChunk)} == {None}
    asked = [(sent.get("logprobs"), sent.get("top_logprobs")) for sent in list(served.fake.requests)[-2:]]
    assert asked == [(True, 2), (None, None)]


async def test_penalties_are_sent(served: Served) -> None:
    params = GenerationParams(presence_penalty=0.5, frequency_penalty=-1)
    await chunks_of(served.models, job_of(served.id_of("plan:thinker"), params))

    sent = served.fake.requests[-1]
    options = sent if served.kind is OPENAI else sent["options"]
    assert (options["presence_penalty"], options["frequency_penalty"]) == (0.5, -1)


async def test_nothing_is_asked_for_that_was_not(served: Served) -> None:
    await chunks_of(served.models, job_of(served.id_of("plan:thinker")))

    sent = served.fake.requests[-1]
    beyond = {"tools", "tool_choice", "parallel_tool_calls", "response_format", "format", "think", "logprobs"}
    assert not beyond & set(sent)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("now", {"type": "function", "function": {"name": "now"}}),
    ],
)
async def test_openai_is_told_the_tools_and_the_choice_among_them(
    openai: ServedModels, openai_fake: OpenAiFake, choice: str | None, expected: Any
) -> None:
    params = GenerationParams(tool_choice=choice, parallel_tool_calls=False, reasoning_effort="low")
    chunks = await chunks_of(openai, job_of("openai/plan:tools", params, WEATHER, NOW))

    sent = openai_fake.requests[-1]
    assert sent["tools"] == [
        {
            "type": "function",
            "function": {"name": "weather", "description": "The weather of a city.", "parameters": CITY},
        },
        {
            "type": "function",
            "function": {"name": "now", "parameters": {"type": "object", "properties": {}}, "strict": True},
        },
    ]
    assert (sent.get("tool_choice"), sent["parallel_tool_calls"]) == (expected, False)
    assert sent["reasoning_effort"] == "low"
    # Also where the one to be called was named, for which OpenAI says "stop".
    assert final_of(chunks).finish_reason == ("stop" if choice == "none" else "tool_calls")


@pytest.mark.parametrize(
    ("choice", "told"),
    [(None, ["weather", "now"]), ("none", None), ("now", ["now"]), ("required", ["weather", "now"])],
)
async def test_ollama_is_told_of_the_tools_that_may_be_called(
    ollama: ServedModels, ollama_fake: OllamaFake, choice: str | None, told: list[str] | None
) -> None:
    params = GenerationParams(tool_choice=choice)
    await chunks_of(ollama, job_of("ollama/plan:tools", params, WEATHER, NOW))

    tools = ollama_fake.requests[-1].get("tools")
    assert (tools and [one["function"]["name"] for one in tools]) == told


@pytest.mark.parametrize(
    ("model", "effort", "think"),
    [
        ("plan:thinker", "none", False),
        ("plan:thinker", "xhigh", "high"),
        ("plan:thinker", "medium", "medium"),
        ("plan:thinker", None, None),
        ("plan:json", "medium", None),
    ],
)
async def test_ollama_has_only_those_think_that_can(
    ollama: ServedModels, ollama_fake: OllamaFake, model: str, effort: Any, think: object
) -> None:
    await chunks_of(ollama, job_of(f"ollama/{model}", GenerationParams(reasoning_effort=effort)))

    assert ollama_fake.requests[-1].get("think") == think


async def test_arguments_that_are_no_object_still_reach_ollama(
    ollama: ServedModels, ollama_fake: OllamaFake
) -> None:
    called = ToolCall(id="call_1", name="weather", arguments="not {json")
    said = (
        ChatMessage(role="assistant", content="", tool_calls=(called,)),
        ChatMessage(role="tool", content="What?", tool_call_id="call_1"),
    )
    await chunks_of(ollama, job_of("ollama/plan:tools", None, said=said))

    call = ollama_fake.requests[-1]["messages"][-2]["tool_calls"][0]
    assert call["function"]["arguments"] == {"arguments": "not {json"}


async def test_what_was_cached_and_what_was_thought_is_counted(openai: ServedModels) -> None:
    usage = final_of(await chunks_of(openai, job_of("openai/plan:thinker"))).usage
    assert (usage.cached_tokens, usage.reasoning_tokens) == (CACHED_TOKENS, len(THOUGHTS))


async def test_a_filter_and_a_refusal_are_told_apart_from_an_answer(openai: ServedModels) -> None:
    filtered = await chunks_of(openai, job_of("openai/plan:filtered"))
    refused = await chunks_of(openai, job_of("openai/plan:refusing"))

    assert [final_of(one).finish_reason for one in (filtered, refused)] == ["content_filter"] * 2
    assert text_of(refused) == "".join(REFUSAL)
