"""Tools, shapes and thoughts by the official `openai` client, against a gateway and the server behind it."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from openai import AsyncOpenAI, ContentFilterFinishReasonError, pydantic_function_tool
from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import FunctionToolParam
from pydantic import BaseModel

from tests.fakes.openai_server import OpenAiFake
from tests.fakes.planned_answers import CACHED_TOKENS, THOUGHTS, WORDS
from tests.integration.stack import Stack
from tests.stack_marks import STACK

pytestmark = STACK

SAID: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Does it rain in Ulm?"}]
ALONE: dict[str, Any] = {"collections": []}


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    days: int


WEATHER = pydantic_function_tool(Weather, name="weather")
RESPONSE_TOOL: FunctionToolParam = {
    "type": "function",
    "name": "weather",
    "parameters": Weather.model_json_schema(),
    "strict": True,
}
ARGUMENTS = Weather(city='some "text"', days=7)


@pytest_asyncio.fixture(loop_scope="session")
async def client(stack: Stack) -> AsyncGenerator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{stack.url()}/v1", api_key=stack.owner_key, max_retries=0) as client:
        yield client


async def test_a_tool_is_called_in_a_stream_and_its_result_answered(
    client: AsyncOpenAI, openai_upstream: OpenAiFake
) -> None:
    async with client.chat.completions.stream(
        model="openai/plan:tools", messages=SAID, tools=[WEATHER], extra_body=ALONE
    ) as stream:
        events = [event async for event in stream]
        called = (await stream.get_final_completion()).choices[0]
    pieces = [event for event in events if event.type == "tool_calls.function.arguments.delta"]
    done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert len(pieces) > 2
    assert [(one.name, one.parsed_arguments) for one in done] == [("weather", ARGUMENTS)]
    assert called.finish_reason == "tool_calls"
    (call,) = called.message.tool_calls or []
    assert call.type == "function"
    assert json.loads(call.function.arguments) == ARGUMENTS.model_dump()

    answer = await client.chat.completions.create(
        model="openai/plan:tools",
        messages=[
            *SAID,
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.function.name, "arguments": call.function.arguments},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": call.id, "content": "It rains."},
        ],
        tools=[WEATHER],
        extra_body=ALONE,
    )
    assert answer.choices[0].message.content == "The tools said: It rains."
    assert answer.choices[0].finish_reason == "stop"
    sent = openai_upstream.requests[-1]
    assert [one["role"] for one in sent["messages"]] == ["system", "user", "assistant", "tool"]
    assert sent["tools"][0]["function"]["strict"] is True


async def test_calls_come_whole_without_a_stream(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="openai/plan:tools", messages=SAID, tools=[WEATHER], tool_choice="required", extra_body=ALONE
    )
    choice = answer.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert [one.type for one in choice.message.tool_calls or ()] == ["function"]


@pytest.mark.parametrize("model", ["openai/plan:json"])
async def test_an_answer_is_parsed_into_the_type_that_was_asked_for(client: AsyncOpenAI, model: str) -> None:
    answer = await client.chat.completions.parse(
        model=model, messages=SAID, response_format=Weather, extra_body=ALONE
    )
    assert answer.choices[0].message.parsed == ARGUMENTS


async def test_a_refusal_is_no_answer_of_that_type(client: AsyncOpenAI) -> None:
    with pytest.raises(ContentFilterFinishReasonError):
        await client.chat.completions.parse(
            model="openai/plan:refusing", messages=SAID, response_format=Weather, extra_body=ALONE
        )


async def test_thoughts_stand_apart_and_are_counted(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="openai/plan:thinker",
        messages=SAID,
        stream=True,
        stream_options={"include_usage": True},
        logprobs=True,
        reasoning_effort="low",
        extra_body=ALONE,
    )
    chunks = [chunk async for chunk in stream]
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    thoughts = [(delta.model_extra or {}).get("reasoning_content") for delta in deltas]
    assert "".join(one for one in thoughts if one) == "".join(THOUGHTS)
    assert "".join(delta.content or "" for delta in deltas) == "".join(WORDS)
    weighed = [choice.logprobs for chunk in chunks for choice in chunk.choices if choice.logprobs]
    assert [entry.token for one in weighed for entry in one.content or ()] == list(WORDS)
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == CACHED_TOKENS
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == len(THOUGHTS)


async def test_a_socket_is_told_of_calls_and_thoughts(stack: Stack) -> None:
    async with stack.chat() as chat:
        turn = await chat.ask("Think.", model="openai/plan:thinker", collections=[])
    thoughts = [event["text"] for event in turn.events if event["type"] == "reasoning_delta"]
    assert "".join(thoughts) == "".join(THOUGHTS)
    assert turn.text == "".join(WORDS)
    assert turn.ending["usage"]["reasoning_tokens"] == len(THOUGHTS)


async def test_a_response_is_streamed_with_its_calls_and_parsed(client: AsyncOpenAI) -> None:
    async with client.responses.stream(
        model="openai/plan:tools", input="Does it rain in Ulm?", tools=[RESPONSE_TOOL], extra_body=ALONE
    ) as stream:
        kinds = [event.type async for event in stream]
        called = await stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert "response.function_call_arguments.delta" in kinds
    (call,) = called.output
    assert call.type == "function_call"
    assert json.loads(call.arguments) == ARGUMENTS.model_dump()
    answer = await client.responses.create(
        model="openai/plan:tools",
        input=[
            {"role": "user", "content": "Does it rain in Ulm?"},
            {
                "type": "function_call",
                "call_id": call.call_id,
                "name": call.name,
                "arguments": call.arguments,
            },
            {"type": "function_call_output", "call_id": call.call_id, "output": "It rains."},
        ],
        tools=[RESPONSE_TOOL],
        extra_body=ALONE,
    )
    assert answer.output_text == "The tools said: It rains."
    parsed = await client.responses.parse(
        model="openai/plan:json", input="Does it rain in Ulm?", text_format=Weather, extra_body=ALONE
    )
    assert parsed.output_parsed == ARGUMENTS
