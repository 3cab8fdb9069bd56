"""A turn over the WebSocket, from the question to the stored answer, on a whole stack."""

import time

import pytest

from tests.fakes.ollama_server import OllamaFake
from tests.integration.library import Library
from tests.integration.paced import QUICK, TWO_SECONDS
from tests.integration.stack import Stack
from tests.stack_marks import STACK

pytestmark = STACK

QUICK_ID = f"ollama/{QUICK}"


async def test_a_turn_streams_in_order_ends_once_and_is_stored_as_it_was_shown(stack: Stack) -> None:
    async with stack.chat() as chat, stack.http() as client:
        turn = await chat.ask("Count for me.", model=TWO_SECONDS.id, collections=[])
        assert await chat.answer_to({"type": "ping"}) == {"type": "pong"}
        found = (await client.get(f"/api/conversations/{turn.conversation_id}")).json()
    assert turn.ending["type"] == "turn_completed", turn.ending
    assert turn.ending["stored"] == "yes"
    assert turn.ending["degraded"] == []
    assert turn.types.count("text_delta") > 10
    assert turn.text == TWO_SECONDS.answer_begun_as(turn.text)
    assert [(message["role"], message["text"]) for message in found["messages"]] == [
        ("user", "Count for me."),
        ("assistant", turn.text),
    ]
    assert {message["turn_id"] for message in found["messages"]} == {turn.turn_id}
    assert found["messages"][1]["outcome"] == "completed"


async def test_a_question_about_a_document_cites_its_file_and_place(stack: Stack, library: Library) -> None:
    async with stack.chat() as chat, stack.http() as client:
        turn = await chat.ask("How often is the cannon fired in fog?", model="extractive")
        citations = turn.ending["citations"]
        assert citations, turn.text
        passage = citations[0]
        document = passage["document"]
        span = {"start": passage["start"], "end": passage["end"]}
        place = (await client.get(f"/api/documents/{document['id']}/passage", params=span)).json()
    assert {one["document"]["name"] for one in citations} == {"lighthouse.md"}
    assert document == {
        "id": library.ids["lighthouse.md"],
        "name": "lighthouse.md",
        "collection": library.collection,
    }
    assert "every four minutes" in turn.text
    assert f"[{passage['n']}]" in turn.text
    assert place["text"] == passage["text"]
    assert turn.event("context_ready")["degraded"] == []


async def test_a_follow_up_reads_the_conversation_it_belongs_to(stack: Stack, ollama: OllamaFake) -> None:
    async with stack.chat() as chat, stack.http() as client:
        first = await chat.ask("My name is Ada.", model=QUICK_ID, collections=[])
        second = await chat.ask(
            "What is my name?", model=QUICK_ID, collections=[], conversation_id=first.conversation_id
        )
        found = (await client.get(f"/api/conversations/{first.conversation_id}")).json()
    assert second.conversation_id == first.conversation_id
    assert second.ending["degraded"] == []
    prompt = [message["content"] for message in ollama.requests[-1]["messages"]]
    assert prompt[-3:] == ["My name is Ada.", first.text, "What is my name?"]
    assert [message["text"] for message in found["messages"]] == [
        "My name is Ada.",
        first.text,
        "What is my name?",
        second.text,
    ]
    assert found["conversation"]["turns"] == 2


@pytest.mark.chromium
async def test_a_page_that_the_question_names_is_read_and_given_to_the_model(
    stack: Stack, ollama: OllamaFake
) -> None:
    question = f"What does {ollama.url}/ say?"
    async with stack.chat() as chat:
        turn = await chat.ask(question, model=QUICK_ID, collections=[], web=True)
    [page] = turn.event("context_ready")["citations"]
    assert (page["url"], page["text"]) == (f"{ollama.url}/", "Ollama is running")
    assert turn.ending["degraded"] == []
    prompt = "\n".join(message["content"] for message in ollama.requests[-1]["messages"])
    assert "Ollama is running" in prompt


async def test_a_page_at_a_private_address_is_left_out_and_the_answer_says_so(stack: Stack) -> None:
    question = f"What does {stack.url()}/ say?"
    async with stack.chat() as chat:
        turn = await chat.ask(question, model=QUICK_ID, collections=[], web=True)
    assert turn.ending["type"] == "turn_completed", turn.ending
    assert turn.event("context_ready")["citations"] == []
    assert turn.ending["degraded"] == ["browser"]


@pytest.mark.parametrize("gateway", [0, 1])
async def test_a_turn_id_sent_again_is_the_same_turn_and_generates_nothing(
    stack: Stack, ollama: OllamaFake, gateway: int
) -> None:
    turn_id = f"mine-{gateway}"
    async with stack.chat() as chat, stack.chat(gateway) as again, stack.http() as client:
        calls = ollama.stats.calls
        first = await chat.start("Say it once.", turn_id=turn_id, model=QUICK_ID, collections=[])
        meanwhile = await again.ask("Say it once.", turn_id=turn_id, model=QUICK_ID, collections=[])
        await chat.until(lambda: first.is_over)
        later = await again.ask("Say it once.", turn_id=turn_id, model=QUICK_ID, collections=[])
        found = (await client.get(f"/api/conversations/{first.conversation_id}")).json()
    assert first.events == meanwhile.events == later.events
    assert first.conversation_id == meanwhile.conversation_id == later.conversation_id
    assert ollama.stats.calls == calls + 1
    assert len(found["messages"]) == 2


async def test_many_turns_on_one_socket_do_not_mix(stack: Stack) -> None:
    async with stack.chat() as chat:
        turns = [await chat.start(f"Turn {n}", model=TWO_SECONDS.id, collections=[]) for n in range(8)]
        await chat.until(lambda: all(turn.is_over for turn in turns))
    assert all(turn.text == TWO_SECONDS.answer_begun_as(turn.text) for turn in turns)
    assert len({turn.text for turn in turns}) == len(turns)


async def test_a_cancelled_turn_stops_its_model_and_keeps_what_was_written(
    stack: Stack, ollama: OllamaFake
) -> None:
    async with stack.chat() as chat, stack.http() as client:
        aborted = len(ollama.stats.aborted_streams)
        turn = await chat.start("Go on and on.", model=TWO_SECONDS.id, collections=[])
        await chat.until(lambda: turn.text.count(" ") >= 20)
        began_ms = time.time() * 1000
        await chat.send({"type": "cancel_turn", "turn_id": turn.turn_id})
        await chat.until(lambda: turn.is_over)
        await ollama.until(lambda stats: len(stats.aborted_streams) > aborted, within_s=1)
        found = (await client.get(f"/api/conversations/{turn.conversation_id}")).json()
    assert ollama.stats.aborted_streams[-1]["at_ms"] - began_ms < 500
    assert turn.ending["type"] == "turn_cancelled"
    assert turn.ending["kept_chars"] == len(turn.text)
    assert 0 < len(turn.text) < len(TWO_SECONDS.answer_begun_as(turn.text))
    assert TWO_SECONDS.answer_begun_as(turn.text).startswith(turn.text)
    answer = found["messages"][1]
    assert (answer["text"], answer["outcome"]) == (turn.text, "cancelled")
