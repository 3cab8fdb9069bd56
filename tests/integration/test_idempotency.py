"""A request that is made again is the same turn, whoever hears it and whenever."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from openai import AsyncOpenAI, ConflictError

from tests.fakes.ollama_server import OllamaFake
from tests.integration.paced import QUICK, TWO_SECONDS
from tests.integration.stack import Stack
from tests.integration.turn_view import Frame
from tests.stack_marks import STACK

pytestmark = STACK


def openai_client(stack: Stack, gateway: int) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{stack.url(gateway)}/v1", api_key=stack.owner_key, max_retries=0)


async def streamed(client: AsyncOpenAI, key: str, text: str = "Count.") -> tuple[str, set[str]]:
    """Return the text of a streamed answer, and the ids of its chunks."""
    body: dict[str, Any] = {"model": TWO_SECONDS.id, "messages": [{"role": "user", "content": text}]}
    stream = await client.chat.completions.create(
        **body, stream=True, extra_headers={"Idempotency-Key": key}, extra_body={"collections": []}
    )
    chunks = [chunk async for chunk in stream]
    pieces = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    return "".join(pieces), {chunk.id for chunk in chunks}


async def test_two_gateways_give_one_answer_to_one_key_while_it_is_written_and_after(
    stack: Stack, ollama: OllamaFake
) -> None:
    key, calls = f"order {uuid4()}", ollama.stats.calls
    async with openai_client(stack, 0) as first, openai_client(stack, 1) as second:
        both = await asyncio.gather(streamed(first, key), streamed(second, key))
        later = await streamed(second, key)
        with pytest.raises(ConflictError) as caught:
            await streamed(first, key, "Something else.")
    assert both[0] == both[1] == later
    assert later[0] == TWO_SECONDS.answer_begun_as(later[0])
    assert ollama.stats.calls == calls + 1
    assert (caught.value.code, caught.value.param) == ("conflict", "Idempotency-Key")


async def test_a_repeated_turn_id_with_another_question_is_refused_and_the_turn_goes_on(stack: Stack) -> None:
    model = f"ollama/{QUICK}"
    async with stack.chat(0) as chat, stack.chat(1) as other:
        turn = await chat.ask("Count.", model=model, collections=[])
        frame: Frame = {"type": "start_turn", "turn_id": turn.turn_id, "model": model, "collections": []}
        refused = await other.answer_to({**frame, "text": "Something else."})
        assert (refused["type"], refused["code"], refused["field"]) == ("error", "conflict", "turn_id")
        repeated = await other.start("Count.", turn_id=turn.turn_id, model=model, collections=[])
        await other.until(lambda: repeated.is_over)
    assert (repeated.conversation_id, repeated.events) == (turn.conversation_id, turn.events)
