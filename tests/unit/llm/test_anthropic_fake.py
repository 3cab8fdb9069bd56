"""The fake of the Messages API is read by Anthropic's own client: what our backend reads is the format."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import anthropic
import pytest
from anthropic.types import MessageParam, ToolParam

from tests.fakes.anthropic_answers import RETRY_AFTER_S
from tests.fakes.anthropic_server import CONTEXT_TOKENS, AnthropicFake
from tests.fakes.scripted_answers import QUICK_MODEL

KEY = "sk-ant-of-the-test"
QUESTION: list[MessageParam] = [{"role": "user", "content": "How do I descale the kettle?"}]
WEATHER: ToolParam = {
    "name": "weather",
    "description": "Tells the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture
async def client(anthropic_fake: AnthropicFake) -> AsyncIterator[anthropic.AsyncAnthropic]:
    anthropic_fake.api_key = KEY
    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=anthropic_fake.url, max_retries=0) as client:
        yield client


async def whole(client: anthropic.AsyncAnthropic, model: str, **more: Any) -> anthropic.types.Message:
    async with client.messages.stream(model=model, max_tokens=100, messages=QUESTION, **more) as stream:
        return await stream.get_final_message()


def kinds(blocks: Iterable[Any]) -> list[str]:
    return [block.type for block in blocks]


async def test_a_streamed_answer_is_what_the_client_puts_together(client: anthropic.AsyncAnthropic):
    message = await whole(client, QUICK_MODEL)

    assert kinds(message.content) == ["text"]
    assert message.content[0].to_dict()["text"] == "".join(f"c1w{place} " for place in range(20))
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 20)


async def test_an_answer_that_is_not_streamed_is_the_same(client: anthropic.AsyncAnthropic):
    message = await client.messages.create(model=QUICK_MODEL, max_tokens=5, messages=QUESTION)

    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 5)


async def test_thoughts_tools_and_endings_are_blocks_that_the_client_knows(client: anthropic.AsyncAnthropic):
    thought = await whole(client, "form:thinking")
    called = await whole(client, "form:two-tools", tools=[WEATHER])
    refused = await whole(client, "form:filtered")

    assert kinds(thought.content) == ["thinking", "text"]
    assert thought.content[0].to_dict()["thinking"] == "The user counts."
    assert [block.to_dict().get("input") for block in called.content[1:]] == [
        {"city": "Paris"},
        {"city": "Oslo"},
    ]
    assert (called.stop_reason, refused.stop_reason) == ("tool_use", "refusal")


async def test_what_stands_before_a_mark_is_read_from_the_cache_the_next_time(
    client: anthropic.AsyncAnthropic,
):
    system = [{"type": "text", "text": "Be brief. " * 50, "cache_control": {"type": "ephemeral"}}]

    first = await whole(client, QUICK_MODEL, system=system)
    second = await whole(client, QUICK_MODEL, system=system)

    assert (first.usage.cache_read_input_tokens, second.usage.cache_creation_input_tokens) == (0, 0)
    assert first.usage.cache_creation_input_tokens == second.usage.cache_read_input_tokens
    assert (second.usage.cache_read_input_tokens or 0) > 100


@pytest.mark.parametrize(
    ("name", "error", "status"),
    [
        ("error400", anthropic.BadRequestError, 400),
        ("error401", anthropic.AuthenticationError, 401),
        ("error403", anthropic.PermissionDeniedError, 403),
        ("unknown", anthropic.NotFoundError, 404),
        ("error413", anthropic.APIStatusError, 413),
        ("error429", anthropic.RateLimitError, 429),
        ("error500", anthropic.InternalServerError, 500),
        ("error529", anthropic.InternalServerError, 529),
    ],
)
async def test_a_refusal_is_the_error_that_the_client_has_for_it(
    client: anthropic.AsyncAnthropic, name: str, error: type[anthropic.APIStatusError], status: int
):
    with pytest.raises(error) as caught:
        await whole(client, name)

    assert caught.value.status_code == status
    assert (caught.value.response.headers.get("retry-after") == str(RETRY_AFTER_S)) is (status == 429)


async def test_an_error_within_a_stream_is_raised(client: anthropic.AsyncAnthropic):
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        await whole(client, "failing429")


async def test_a_wrong_key_is_refused(client: anthropic.AsyncAnthropic, anthropic_fake: AnthropicFake):
    anthropic_fake.api_key = "sk-ant-another"

    with pytest.raises(anthropic.AuthenticationError):
        await client.models.list()


async def test_models_are_listed_by_pages_with_what_they_can(
    client: anthropic.AsyncAnthropic, anthropic_fake: AnthropicFake
):
    anthropic_fake.models = tuple(f"claude-{number}" for number in range(45))

    listed = [model async for model in client.models.list()]

    assert [model.id for model in listed] == list(anthropic_fake.models)
    assert listed[0].max_input_tokens == CONTEXT_TOKENS
    assert listed[0].capabilities is not None
    assert listed[0].capabilities.thinking.types.adaptive.supported


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tool_choice": {"type": "any"}}, "tool_choice may only be specified"),
    ({"messages": [{"role": "assistant", "content": "Yes"}]}, "first message must use"),
    ({"messages": [*QUESTION, {"role": "assistant", "content": "Yes"}]}, "does not support assistant"),
    ({"messages": [{"role": "system", "content": "No"}]}, "first message must use"),
    ({"messages": [{"role": "user", "content": " "}]}, "must be non-empty"),
    (
        {
            "messages": [
                *QUESTION,
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "t", "name": "w", "input": {}}],
                },
                {"role": "user", "content": "And?"},
            ]
        },
        "without `tool_result` blocks",
    ),
    (
        {"system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}] * 5},
        "maximum of 4",
    ),
]


@pytest.mark.parametrize(
    ("more", "words"),
    REFUSED,
    ids=["choice", "assistant-first", "prefill", "system-role", "empty", "no-results", "marks"],
)
async def test_what_the_api_does_not_take_is_refused(
    client: anthropic.AsyncAnthropic, more: dict[str, Any], words: str
):
    asked: dict[str, Any] = {"model": QUICK_MODEL, "max_tokens": 10, "messages": QUESTION} | more

    with pytest.raises(anthropic.BadRequestError, match=words):
        await client.messages.create(**asked)
