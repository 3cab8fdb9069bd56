"""Two gateways on one bus: a turn belongs to neither, and its reader may change between them."""

import pytest

from tests.fakes.ollama_server import OllamaFake
from tests.integration.library import Library
from tests.integration.paced import TWO_SECONDS
from tests.integration.stack import Stack
from tests.integration.turn_view import TurnView
from tests.stack_marks import STACK

pytestmark = STACK

WORDS = TWO_SECONDS.count


async def stored_answer(stack: Stack, turn: TurnView) -> str:
    async with stack.http() as client:
        found = (await client.get(f"/api/conversations/{turn.conversation_id}")).json()
    [answer] = [message for message in found["messages"] if message["role"] == "assistant"]
    return answer["text"]


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0)])
async def test_a_turn_resumed_at_the_other_gateway_goes_on_where_its_reader_left(
    stack: Stack, ollama: OllamaFake, first: int, second: int
) -> None:
    calls = ollama.stats.calls
    async with stack.chat(first) as chat:
        turn = await chat.start("Begin here.", model=TWO_SECONDS.id, collections=[])
        await chat.until(lambda: turn.text.count(" ") >= WORDS // 4)
    left_off = turn.last_seq
    async with stack.chat(second) as chat:
        await chat.resume(turn)
        await chat.until(lambda: turn.last_seq > left_off)
        # Half of the answer is still unwritten when the other gateway has taken over.
        assert turn.text.count(" ") < WORDS // 2
        assert turn.last_seq == left_off + 1
        await chat.until(lambda: turn.is_over)
    assert turn.ending["type"] == "turn_completed", turn.ending
    assert turn.text.encode() == TWO_SECONDS.answer_begun_as(turn.text).encode()
    assert await stored_answer(stack, turn) == turn.text
    assert ollama.stats.calls == calls + 1


async def test_a_quoted_answer_is_whole_after_a_hop_between_gateways(stack: Stack, library: Library) -> None:
    question = "When is the lamp of the lighthouse lit, and where is the powder stored?"
    async with stack.chat(0) as chat:
        whole = await chat.ask(question, model="extractive")
        turn = await chat.start(question, model="extractive")
        await chat.until(lambda: len(turn.text) > 0)
        assert len(turn.text) < len(whole.text) / 2
    async with stack.chat(1) as chat:
        await chat.resume(turn)
        await chat.until(lambda: turn.is_over)
    assert turn.text == whole.text
    assert {one["document"]["id"] for one in turn.ending["citations"]} <= set(library.ids.values())


async def test_a_closed_socket_does_not_stop_the_turn(stack: Stack, ollama: OllamaFake) -> None:
    aborted = len(ollama.stats.aborted_streams)
    async with stack.chat() as chat:
        turn = await chat.start("Nobody listens.", model=TWO_SECONDS.id, collections=[])
        await chat.until(lambda: bool(turn.text))
    completed = ollama.stats.completed_streams
    await ollama.until(lambda stats: stats.completed_streams > completed, within_s=20)
    async with stack.chat() as chat:
        await chat.resume(turn)
        await chat.until(lambda: turn.is_over)
    assert turn.text == TWO_SECONDS.answer_begun_as(turn.text)
    assert await stored_answer(stack, turn) == turn.text
    assert len(ollama.stats.aborted_streams) == aborted


@pytest.mark.parametrize("gateway", [0, 1])
async def test_a_reader_gets_exactly_the_rest_from_any_place_of_a_finished_turn(
    stack: Stack, gateway: int
) -> None:
    async with stack.chat(0) as chat:
        turn = await chat.ask("Once more.", model=TWO_SECONDS.id, collections=[])
    async with stack.chat(gateway) as chat:
        for place in (-1, 3, len(turn.events) // 2, len(turn.events) - 2):
            rest = TurnView(turn.turn_id)
            rest.last_seq = turn.events[place]["seq"] if place >= 0 else 0
            await chat.resume(rest)
            await chat.until(lambda rest=rest: rest.is_over)
            assert rest.events == turn.events[place + 1 :]


async def test_a_turn_is_cancelled_from_the_other_gateway(stack: Stack, ollama: OllamaFake) -> None:
    aborted = len(ollama.stats.aborted_streams)
    async with stack.chat(0) as chat, stack.chat(1) as other:
        turn = await chat.start("Stop me.", model=TWO_SECONDS.id, collections=[])
        await chat.until(lambda: turn.text.count(" ") > 5)
        reply = await other.answer_to({"type": "cancel_turn", "turn_id": turn.turn_id})
        await chat.until(lambda: turn.is_over)
    assert reply == {"type": "cancel_accepted", "turn_id": turn.turn_id}
    assert turn.ending["type"] == "turn_cancelled"
    await ollama.until(lambda stats: len(stats.aborted_streams) > aborted, within_s=1)
    assert await stored_answer(stack, turn) == turn.text
