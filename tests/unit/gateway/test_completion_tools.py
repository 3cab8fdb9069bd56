"""Tools, thoughts and shapes in answers of the OpenAI API: asked for, streamed, and whole."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.tools import ToolCall
from parley_contracts.turn_events import EpochStarted, ReasoningDelta, TextDelta, ToolCallDelta
from parley_gateway.answer_reader import AnswerReader
from parley_gateway.completion import Completion
from parley_gateway.completion_deltas import Delta, UntoldDeltas
from parley_gateway.completion_request import CompletionRequest
from parley_gateway.prompt import QUESTION as QUESTION_FOLLOWS
from parley_llm.language_model import Piece, ReasoningChunk, TextChunk, ToolCallChunk
from parley_messaging.memory_bus import MemoryBus
from pydantic import ValidationError

from tests.unit.gateway.rig import OWNER, Gateway, running
from tests.unit.gateway.said_messages import said_in

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "strict": True}}]
QUESTION = {"role": "user", "content": "Does it rain?"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Ulm"}'}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "It rains."}
PIECES: list[str | Piece] = [
    ReasoningChunk("I "),
    ReasoningChunk("look."),
    "Let me see.",
    ToolCallChunk(0, "call_1", "weather", ""),
    ToolCallChunk(0, None, None, '{"city"'),
    ToolCallChunk(0, None, None, ':"Ulm"}'),
    ToolCallChunk(1, "call_2", "weather", "{}"),
]
WHOLE_CALLS = [CALL, {"id": "call_2", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]


@pytest.fixture
async def memory_bus() -> AsyncGenerator[MemoryBus]:
    bus = MemoryBus()
    yield bus
    await bus.close()


def request_of(**fields: Any) -> CompletionRequest:
    return CompletionRequest.model_validate({"model": "scripted", "messages": [QUESTION], **fields})


async def completion(gateway: Gateway, **fields: Any) -> Completion:
    request = request_of(**fields)
    said = said_in(request)
    reader = AnswerReader(gateway.door, OWNER, max_bytes=1_000_000, turn_s=20)
    turn = await gateway.door.start(
        OWNER,
        request.start_frame(None, said),
        reader.take,
        history=said.history,
        caller=request.caller(said),
        is_stored=False,
    )
    reader.follow(turn)
    return Completion(request, turn, reader)


async def chunks_of(completion: Completion) -> list[dict[str, Any]]:
    lines = [line async for line in completion.stream()]
    assert lines[-1] == b"data: [DONE]\n\n"
    return [json.loads(line.removeprefix(b"data: ")) for line in lines[:-1]]


def folded(chunks: list[dict[str, Any]]) -> tuple[str, str, list[dict[str, Any]]]:
    """Return what the deltas of a stream add up to: thoughts, text and calls."""
    thought, text, calls = "", "", list[dict[str, Any]]()
    for delta in [choice["delta"] for chunk in chunks for choice in chunk["choices"]]:
        thought += delta.get("reasoning_content") or ""
        text += delta.get("content") or ""
        for piece in delta.get("tool_calls", ()):
            if piece["index"] == len(calls):
                calls.append({key: value for key, value in piece.items() if key != "index"})
            else:
                assert set(piece) == {"index", "function"}
                calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    return thought, text, calls


async def test_calls_and_thoughts_are_told_whole_or_in_pieces(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        rig.model.pieces, rig.model.finish_reason = PIECES, "tool_calls"
        chunks = await chunks_of(await completion(rig.first, tools=TOOLS))
        body = await (await completion(rig.first, tools=TOOLS)).whole()
    choice = body["choices"][0]
    assert folded(chunks) == ("I look.", "Let me see.", WHOLE_CALLS)
    assert chunks[-1]["choices"][0]["finish_reason"] == choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": "Let me see.",
        "refusal": None,
        "reasoning_content": "I look.",
        "tool_calls": WHOLE_CALLS,
    }


async def test_an_answer_of_calls_alone_has_no_content(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        rig.model.pieces, rig.model.finish_reason = PIECES[3:], "tool_calls"
        body = await (await completion(rig.first, tools=TOOLS)).whole()
    assert body["choices"][0]["message"]["content"] is None


async def test_the_model_is_given_the_tools_and_what_came_of_their_calls(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        said = [{"role": "developer", "content": "Be kind."}, QUESTION, CALLED, RESULT]
        choice = {"type": "function", "function": {"name": "weather"}}
        wanted = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA}}
        asked = {"tool_choice": choice, "parallel_tool_calls": False, "reasoning_effort": "low"}
        await (
            await completion(
                rig.first, messages=said, tools=TOOLS, **asked, response_format=wanted, presence_penalty=1
            )
        ).whole()
        (job,) = rig.model.calls
    assert [one.role for one in job.messages] == ["system", "user", "assistant", "tool"]
    assert job.question == "Does it rain?"
    assert job.messages[1].content.endswith(f"{QUESTION_FOLLOWS}\nDoes it rain?")
    arguments = '{"city":"Ulm"}'
    assert job.messages[2].tool_calls == (ToolCall(id="call_1", name="weather", arguments=arguments),)
    assert (job.messages[3].tool_call_id, job.messages[3].content) == ("call_1", "It rains.")
    (tool,) = job.tools
    assert (tool.name, tool.parameters, tool.is_strict) == ("weather", SCHEMA, True)
    params = job.params
    assert (params.tool_choice, params.parallel_tool_calls) == ("weather", False)
    assert params.reasoning_effort == "low"
    assert params.presence_penalty == 1
    assert params.response_format is not None
    assert params.response_format.model_dump(exclude_none=True) == wanted


async def test_the_same_key_with_other_results_is_a_conflict(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        for content in ("It rains.", "It snows."):
            request = request_of(messages=[QUESTION, CALLED, {**RESULT, "content": content}])
            reader = AnswerReader(rig.first.door, OWNER, max_bytes=1_000_000, turn_s=20)
            said = said_in(request)
            start = rig.first.door.start(
                OWNER, request.start_frame("key", said), reader.take, history=(), caller=request.caller(said)
            )
            if content == "It rains.":
                reader.follow(await start)
                await reader.whole()
                continue
            with pytest.raises(ParleyError) as caught:
                await start
    assert caught.value.code is ErrorCode.CONFLICT


async def test_the_likelihood_of_tokens_is_told_beside_the_text(memory_bus: MemoryBus) -> None:
    words = ("So", " it is")
    entries: list[dict[str, Any]] = [
        {"token": word, "logprob": -0.5, "bytes": None, "top_logprobs": []} for word in words
    ]
    async with running(memory_bus) as rig:
        rig.model.pieces = [TextChunk("So", (entries[0],)), TextChunk(" it is", (entries[1],)), "."]
        chunks = await chunks_of(await completion(rig.first, logprobs=True, top_logprobs=0))
        body = await (await completion(rig.first, logprobs=True)).whole()
    told = [choice["logprobs"] for chunk in chunks for choice in chunk["choices"] if choice["logprobs"]]
    assert [entry for one in told for entry in one["content"]] == entries
    assert body["choices"][0]["logprobs"] == {"content": entries, "refusal": None}


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
async def test_why_an_answer_ends_is_told(memory_bus: MemoryBus, reason: Any) -> None:
    async with running(memory_bus) as rig:
        rig.model.finish_reason = reason
        body = await (await completion(rig.first)).whole()
    assert body["choices"][0]["finish_reason"] == reason


async def test_the_usage_is_told_last_and_is_null_before(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        *chunks, last = await chunks_of(await completion(rig.first, stream_options={"include_usage": True}))
    assert {chunk["usage"] for chunk in chunks} == {None}
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 10
    assert last["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}


def epoch(keep_chars: int = 0, reasoning: int = 0, calls: int = 0) -> EpochStarted:
    return EpochStarted(
        seq=0,
        follows=0,
        turn_id="t",
        keep_chars=keep_chars,
        keep_reasoning_chars=reasoning,
        keep_tool_calls=calls,
    )


def text(words: str) -> TextDelta:
    return TextDelta(seq=0, turn_id="t", text=words)


def thought(words: str) -> ReasoningDelta:
    return ReasoningDelta(seq=0, turn_id="t", text=words)


def called(index: int, arguments: str, call_id: str | None = None) -> ToolCallDelta:
    return ToolCallDelta(seq=0, turn_id="t", index=index, call_id=call_id, name=call_id, arguments=arguments)


def told(untold: UntoldDeltas) -> list[object]:
    """Return what is told now, briefly."""
    found: list[object] = []
    for delta, _ in untold.tell():
        for call in delta.get("tool_calls", ()):
            found.append((call["index"], call.get("id"), call["function"]["arguments"]))
        found += [delta[name] for name in ("content", "reasoning_content") if name in delta]
    return found


def waiting(*deltas: Delta) -> UntoldDeltas:
    untold = UntoldDeltas()
    for delta in deltas:
        untold.add(delta)
    return untold


def test_what_follows_each_other_is_told_as_one() -> None:
    calls = [called(0, "", "x"), called(0, "{"), called(0, "}"), called(1, "{}", "y")]
    untold = waiting(thought("a"), thought("b"), text("c"), text("d"), *calls, text("e"))
    assert told(untold) == ["ab", "cd", (0, "x", "{}"), (1, "y", "{}"), "e"]
    assert not untold


@pytest.mark.parametrize(
    ("started", "left"),
    [
        (epoch(), []),
        (epoch(2), ["cd"]),
        (epoch(1, 1), ["a", "c"]),
        (epoch(9, 9, 1), ["ab", "cd", (0, "x", "{}")]),
        (epoch(9, 9, 2), ["ab", "cd", (0, "x", "{}"), (1, "y", "{")]),
    ],
)
def test_what_does_not_stand_is_not_told(started: EpochStarted, left: list[object]) -> None:
    untold = waiting(thought("ab"), text("cd"), called(0, "{}", "x"), called(1, "{", "y"))
    untold.cut(started)
    assert told(untold) == left


@pytest.mark.parametrize("started", [epoch(1, 9, 1), epoch(2, 9, 0)], ids=["text", "a call"])
def test_what_a_client_has_cannot_be_taken_back(started: EpochStarted) -> None:
    untold = waiting(thought("ab"), text("cd"), called(0, "{", "x"))
    told(untold)
    with pytest.raises(ParleyError, match="begun anew"):
        untold.cut(started)


def test_thoughts_may_be_begun_anew_and_the_answer_goes_on() -> None:
    untold = waiting(thought("ab"), text("cd"))
    told(untold)
    untold.cut(epoch(2))
    untold.add(thought("other"))
    untold.add(text("ef"))
    assert told(untold) == ["other", "ef"]


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([CALLED, RESULT], "messages"),
        ([QUESTION, CALLED], "messages.1"),
        ([QUESTION, RESULT], "messages.1"),
        ([QUESTION, CALLED, {**RESULT, "tool_call_id": "other"}], "messages.2"),
        ([QUESTION, CALLED, RESULT, RESULT], "messages.3"),
        ([QUESTION, CALLED, QUESTION], "messages.1"),
        ([QUESTION, CALLED, {**RESULT, "content": None}], "messages.2"),
        ([QUESTION, {**CALLED, "role": "user"}], "messages.1"),
        ([{"role": "system"}, QUESTION], "messages.0"),
        ([QUESTION, {"role": "assistant", "content": "Yes."}], "messages"),
    ],
    ids=[
        "no question",
        "no result",
        "a result of nothing",
        "of another call",
        "twice",
        "a question in between",
        "without content",
        "called by the user",
        "an empty message",
        "the assistant last",
    ],
)
def test_calls_and_results_that_do_not_belong_together_are_refused(
    messages: list[dict[str, Any]], field: str
) -> None:
    with pytest.raises(ParleyError) as caught:
        said_in(request_of(messages=messages))
    assert (caught.value.code, caught.value.field) == (ErrorCode.INVALID_REQUEST, field)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"tools": [*TOOLS, *TOOLS]}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "auto"}}]}, "tools"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"top_logprobs": 2}, "top_logprobs"),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(fields: dict[str, Any], field: str) -> None:
    request = request_of(**fields)
    said = said_in(request)
    with pytest.raises(ParleyError) as caught:
        request.start_frame(None, said)
    assert (caught.value.code, caught.value.field) == (ErrorCode.INVALID_REQUEST, field)


@pytest.mark.parametrize(
    "fields",
    [
        {"top_k": 5},
        {"functions": [{"name": "f"}]},
        {"logit_bias": {"1": 5}},
        {"modalities": ["audio"]},
        {"tools": [{"type": "custom", "custom": {"name": "f"}}]},
        {"tools": TOOLS, "tool_choice": "weather"},
        {"n": 2},
    ],
    ids="-".join,
)
def test_what_is_not_known_or_cannot_be_had_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        request_of(**fields)


def test_what_only_tells_of_the_caller_has_no_effect() -> None:
    said = said_in(request_of())
    plain = request_of().start_frame("key", said)
    fields = {"user": "u", "metadata": {"a": "b"}, "service_tier": "auto", "verbosity": "low", "store": False}
    assert request_of(**fields).start_frame("key", said) == plain
