"""LangChain's `ChatOpenAI`, unmodified, against a gateway: tools, streams and their usage."""

import time
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from tests.fakes.openai_server import OpenAiFake
from tests.integration.paced import TWO_SECONDS
from tests.integration.stack import Stack
from tests.stack_marks import STACK

pytestmark = STACK

ARGUMENTS = {"city": 'some "text"', "days": 7}


@pytest.fixture(autouse=True)
def _no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    # What somebody sets for his own programs must not send these prompts anywhere.
    for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"):
        monkeypatch.delenv(name, raising=False)


def chat(stack: Stack, model: str, **more: Any) -> ChatOpenAI:
    """Return a client as its users make one, with nothing but an address, a key and a model."""
    return ChatOpenAI(
        model=model,
        base_url=f"{stack.url()}/v1",
        api_key=SecretStr(stack.owner_key),
        max_retries=0,
        stream_usage=True,
        extra_body={"collections": []},
        **more,
    )


@tool
def weather(city: str, days: int) -> str:
    """Return the weather of a city."""
    return f"It rains in {city} for {days} days."


class Forecast(BaseModel):
    """The weather of a city."""

    city: str
    days: int


async def test_a_stream_comes_in_pieces_as_it_is_written_and_tells_its_usage(stack: Stack) -> None:
    pieces: list[tuple[float, str]] = []
    whole: AIMessageChunk | None = None
    messages = [SystemMessage("Be brief."), HumanMessage("Count.")]
    async for chunk in chat(stack, TWO_SECONDS.id).astream(messages):
        assert isinstance(chunk, AIMessageChunk)
        if chunk.text:
            pieces.append((time.monotonic(), chunk.text))
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    text = "".join(piece for _, piece in pieces)
    assert text == TWO_SECONDS.answer_begun_as(text)
    assert len(pieces) > 10
    assert pieces[0][0] < pieces[-1][0]
    assert whole.response_metadata["finish_reason"] == "stop"
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == TWO_SECONDS.count


async def test_a_bound_tool_is_called_in_a_stream_and_its_result_answered(
    stack: Stack, openai_upstream: OpenAiFake
) -> None:
    bound = chat(stack, "openai/plan:tools").bind_tools([weather])  # pyright: ignore[reportUnknownMemberType] - leaves a part of it untyped
    said: list[BaseMessage] = [HumanMessage("Does it rain in Ulm?")]
    called: AIMessageChunk | None = None
    pieces = 0
    async for chunk in bound.astream(said):
        assert isinstance(chunk, AIMessageChunk)
        pieces += len(chunk.tool_call_chunks)
        called = chunk if called is None else called + chunk
    assert called is not None
    assert pieces > 2
    (call,) = called.tool_calls
    assert (call["name"], call["args"]) == ("weather", ARGUMENTS)
    assert called.response_metadata["finish_reason"] == "tool_calls"

    told = await weather.ainvoke(call)
    assert isinstance(told, ToolMessage)
    answer = await bound.ainvoke([*said, called, told])
    assert answer.text == 'The tools said: It rains in some "text" for 7 days.'
    assert not answer.tool_calls
    sent = openai_upstream.requests[-1]
    assert [one["role"] for one in sent["messages"]][-3:] == ["user", "assistant", "tool"]


async def test_an_answer_takes_the_shape_that_is_asked_for(stack: Stack) -> None:
    client: Any = chat(stack, "openai/plan:json")  # its own types are unknown in part
    shaped = client.with_structured_output(Forecast, method="json_schema")
    assert await shaped.ainvoke("Does it rain in Ulm?") == Forecast.model_validate(ARGUMENTS)
