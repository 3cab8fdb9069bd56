"""Responses of the OpenAI API: what is asked for becomes a completion, and its answer becomes items."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from parley_contracts.errors import ErrorCode, ParleyError
from parley_gateway.answer_reader import AnswerReader
from parley_gateway.response_answer import ResponseAnswer
from parley_gateway.response_output import ResponseOutput
from parley_gateway.responses_request import ResponsesRequest
from parley_llm.language_model import Piece, ReasoningChunk, ToolCallChunk
from parley_messaging.memory_bus import MemoryBus
from pydantic import TypeAdapter, ValidationError

from tests.unit.gateway.rig import OWNER, Gateway, running
from tests.unit.gateway.said_messages import said_in

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}]
PIECES: list[str | Piece] = [
    ReasoningChunk("I look."),
    "Let me ",
    "see.",
    ToolCallChunk(0, "call_1", "weather", ""),
    ToolCallChunk(0, None, None, '{"city":"Ulm"}'),
    ToolCallChunk(1, "call_2", "weather", "{}"),
]


@pytest.fixture
async def memory_bus() -> AsyncGenerator[MemoryBus]:
    bus = MemoryBus()
    yield bus
    await bus.close()


def request_of(**fields: Any) -> ResponsesRequest:
    return ResponsesRequest.model_validate({"model": "scripted", "input": "Does it rain?", **fields})


async def response(gateway: Gateway, **fields: Any) -> ResponseAnswer:
    request = request_of(**fields)
    completion = request.completion()
    said = said_in(completion)
    reader = AnswerReader(gateway.door, OWNER, max_bytes=1_000_000, turn_s=20)
    turn = await gateway.door.start(
        OWNER,
        completion.start_frame(None, said),
        reader.take,
        history=said.history,
        caller=completion.caller(said),
        is_stored=False,
    )
    reader.follow(turn)
    return ResponseAnswer(request, turn, reader)


async def events_of(answer: ResponseAnswer) -> list[dict[str, Any]]:
    """Return the events of a stream, each checked against the client's own types."""
    found: list[dict[str, Any]] = []
    async for line in answer.stream():
        kind, data = line.decode().strip().split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert kind == f"event: {found[-1]['type']}"
        EVENT.validate_python(found[-1])
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


async def test_each_kind_is_an_item_that_begins_grows_and_ends(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        rig.model.pieces, rig.model.finish_reason = PIECES, "tool_calls"
        events = await events_of(await response(rig.first, tools=TOOLS))
    last = Response.model_validate(events[-1]["response"])
    kinds = [item.type for item in last.output]
    assert kinds == ["reasoning", "message", "function_call", "function_call"]
    added = [event["item"]["type"] for event in events if event["type"] == "response.output_item.added"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert added == kinds
    assert done == events[-1]["response"]["output"]
    deltas = dict.fromkeys(("output_text", "reasoning_text", "function_call_arguments"), "")
    for event in events:
        for kind in deltas:
            if event["type"] == f"response.{kind}.delta":
                deltas[kind] += event["delta"]
    assert deltas == {
        "output_text": "Let me see.",
        "reasoning_text": "I look.",
        "function_call_arguments": '{"city":"Ulm"}{}',
    }
    assert last.output_text == "Let me see."
    assert (last.status, last.usage and last.usage.total_tokens) == ("completed", 10)


async def test_a_whole_response_says_what_the_stream_says(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        rig.model.pieces, rig.model.finish_reason = PIECES, "tool_calls"
        streamed = (await events_of(await response(rig.first, tools=TOOLS)))[-1]["response"]
        whole = await (await response(rig.first, tools=TOOLS)).whole()
    assert Response.model_validate(whole).status == "completed"
    for body in (whole, streamed):
        del body["id"], body["created_at"]
        for item in body["output"]:
            del item["id"]
    assert whole == streamed


@pytest.mark.parametrize(
    ("finish_reason", "status", "reason"),
    [("length", "incomplete", "max_output_tokens"), ("content_filter", "incomplete", "content_filter")],
)
async def test_an_answer_that_was_cut_is_incomplete(
    memory_bus: MemoryBus, finish_reason: Any, status: str, reason: str
) -> None:
    async with running(memory_bus) as rig:
        rig.model.finish_reason = finish_reason
        events = await events_of(await response(rig.first))
    assert events[-1]["type"] == "response.incomplete"
    body = events[-1]["response"]
    assert (body["status"], body["incomplete_details"]) == (status, {"reason": reason})


async def test_a_failure_is_an_event_of_a_stream_and_else_an_error(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        rig.model.error = ParleyError(ErrorCode.UPSTREAM_FAILED, "The server said 500.")
        events = await events_of(await response(rig.first))
        with pytest.raises(ParleyError, match="The server said 500"):
            await (await response(rig.first)).whole()
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"] == {"code": "server_error", "message": "The server said 500."}


async def test_when_to_ask_again_is_told_of_a_response_that_is_raised(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as rig:
        rig.model.error = ParleyError(ErrorCode.RATE_LIMITED, "Too many.", retry_after_s=42)
        events = await events_of(await response(rig.first))
        with pytest.raises(ParleyError) as told:
            await (await response(rig.first)).whole()
    assert (told.value.code, told.value.retry_after_s) == (ErrorCode.RATE_LIMITED, 42)
    assert events[-1]["response"]["error"] == {"code": "rate_limit_exceeded", "message": "Too many."}


async def test_the_model_is_given_what_a_completion_would_be(memory_bus: MemoryBus) -> None:
    said: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "input_text", "text": "Does it rain?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"},
        {"type": "function_call", "call_id": "call_2", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "It rains."},
        {"type": "function_call_output", "call_id": "call_2", "output": "It snows."},
    ]
    text = {"format": {"type": "json_schema", "name": "city", "schema": SCHEMA, "strict": True}}
    async with running(memory_bus) as rig:
        asked = {"tool_choice": {"type": "function", "name": "weather"}, "reasoning": {"effort": "low"}}
        answer = await response(
            rig.first,
            input=said,
            instructions="Be kind.",
            tools=TOOLS,
            text=text,
            max_output_tokens=7,
            **asked,
        )
        await answer.whole()
        (job,) = rig.model.calls
    assert [one.role for one in job.messages] == ["system", "user", "assistant", "tool", "tool"]
    assert "Be kind." in job.messages[0].content
    assert [call.id for call in job.messages[2].tool_calls] == ["call_1", "call_2"]
    assert [one.tool_call_id for one in job.messages[3:]] == ["call_1", "call_2"]
    params = job.params
    assert (params.tool_choice, params.reasoning_effort, params.max_tokens) == ("weather", "low", 7)
    assert params.response_format is not None
    assert params.response_format.json_schema is not None
    assert params.response_format.json_schema.definition == SCHEMA


@pytest.mark.parametrize(
    "fields",
    [
        {"previous_response_id": "resp_1"},
        {"background": True},
        {"tools": [{"type": "web_search"}]},
        {"input": []},
        {"text": {"format": {"type": "json_schema"}}},
        {"unheard_of": 1},
    ],
    ids="-".join,
)
def test_what_cannot_be_had_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        request_of(**fields).completion()


def test_calls_that_are_written_at_once_keep_their_arguments_apart() -> None:
    output = ResponseOutput("t")
    for index, name in enumerate(("add", "sub")):
        piece = {"index": index, "id": name, "function": {"name": name, "arguments": ""}}
        assert list(output.take({"tool_calls": [piece]}))
    for index, arguments in ((0, "{"), (1, "["), (0, "}"), (1, "]")):
        assert list(output.take({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}))
    ended = [item["arguments"] for kind, item in output.close("completed") if kind.endswith("arguments.done")]
    assert ended == ["{}", "[]"]
    assert [item["status"] for item in output.body("completed")] == ["completed", "completed"]
