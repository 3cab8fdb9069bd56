"""Answers of an OpenAI-compatible model server, and the takeover of one in the middle."""

import signal

from tests.fakes.openai_server import OpenAiFake
from tests.integration.paced import FIVE_SECONDS, TWO_SECONDS
from tests.integration.stack import Stack
from tests.stack_marks import STACK

pytestmark = STACK


async def test_a_turn_streams_from_the_server_and_is_stored_as_it_was_shown(
    stack: Stack, openai_upstream: OpenAiFake
) -> None:
    calls = openai_upstream.stats.calls
    async with stack.chat() as chat, stack.http() as client:
        turn = await chat.ask("Count.", model=f"openai/{TWO_SECONDS.name}", collections=[])
        found = (await client.get(f"/api/conversations/{turn.conversation_id}")).json()
    assert turn.ending["type"] == "turn_completed", turn.ending
    assert turn.ending["usage"]["completion_tokens"] == TWO_SECONDS.count
    assert turn.types.count("text_delta") > 10
    assert turn.text == TWO_SECONDS.answer_begun_as(turn.text)
    assert found["messages"][1]["text"] == turn.text
    assert openai_upstream.stats.calls == calls + 1


async def test_a_stop_closes_the_stream_of_the_server(stack: Stack, openai_upstream: OpenAiFake) -> None:
    aborted = len(openai_upstream.stats.aborted_streams)
    async with stack.chat() as chat:
        turn = await chat.start("Go on.", model=f"openai/{FIVE_SECONDS.name}", collections=[])
        await chat.until(lambda: bool(turn.text))
        await chat.send({"type": "cancel_turn", "turn_id": turn.turn_id})
        await openai_upstream.until(lambda stats: len(stats.aborted_streams) == aborted + 1, within_s=10)
        await chat.until(lambda: turn.is_over)
    assert turn.ending["type"] == "turn_cancelled", turn.ending


async def test_an_answer_whose_worker_is_killed_goes_on_from_what_is_written(
    stack: Stack, openai_upstream: OpenAiFake
) -> None:
    calls = openai_upstream.stats.calls
    async with stack.chat() as chat, stack.http() as client:
        turn = await chat.start("Survive.", model=f"openai/{FIVE_SECONDS.name}", collections=[])
        await chat.until(lambda: turn.text.count(" ") >= FIVE_SECONDS.count // 4)
        worker = stack.processes["llm"]
        worker.signal(signal.SIGKILL)
        await worker.ended()
        await stack.start("llm")
        await chat.until(lambda: turn.is_over)
        found = (await client.get(f"/api/conversations/{turn.conversation_id}")).json()
    kept = [event["keep_chars"] for event in turn.events if event["type"] == "epoch_started"]
    assert turn.ending["type"] == "turn_completed", turn.ending
    assert kept[-1] > 0
    assert turn.text.encode() == FIVE_SECONDS.answer_begun_as(turn.text).encode()
    assert found["messages"][1]["text"] == turn.text
    assert openai_upstream.stats.calls == calls + 2
    sent = openai_upstream.requests[-1]
    assert sent["messages"][-1] == {"role": "assistant", "content": turn.text[: kept[-1]]}
