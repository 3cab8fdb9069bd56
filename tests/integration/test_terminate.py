"""SIGTERM to every service in the middle of an answer: it is byte-exact, and nothing is done twice."""

import asyncio
import json
from contextlib import AsyncExitStack

import pytest
from websockets.exceptions import ConnectionClosed

from tests.fakes.ollama_server import OllamaFake
from tests.integration.chat_client import ChatClient
from tests.integration.deliveries import watching_deliveries
from tests.integration.library import upload
from tests.integration.paced import FIVE_SECONDS, QUICK, TEN_SECONDS, PacedModel
from tests.integration.stack import Stack
from tests.integration.turn_view import Frame, TurnView
from tests.integration.waiting import eventually
from tests.stack_marks import STACK

pytestmark = STACK

QUICK_ID = f"ollama/{QUICK}"
SERVICE_RESTART = 1012


async def begun(chat: ChatClient, model: PacedModel) -> TurnView:
    """Return a turn of which some words are written."""
    turn = await chat.start("Write on.", model=model.id, collections=[])
    await chat.until(lambda: turn.text.count(" ") >= 5)
    return turn


def assert_whole(turn: TurnView, model: PacedModel) -> None:
    assert turn.ending["type"] == "turn_completed", turn.ending
    assert turn.text.encode() == model.answer_begun_as(turn.text).encode()
    assert turn.ending["stored"] == "yes"
    # There was nothing to gather, so the first epoch is the answer's: nobody took over.
    assert turn.types.count("epoch_started") == 1


@pytest.mark.chromium
async def test_what_an_answer_no_longer_needs_stops_and_comes_back_unnoticed(
    stack: Stack, ollama: OllamaFake
) -> None:
    async with watching_deliveries(stack.nats_url, stack.operator_nkey), stack.chat() as chat:
        # Every service has been at work, the browser with a Chromium that it has to end.
        warm = await chat.ask(f"What does {ollama.url}/ say?", model=QUICK_ID, web=True)
        assert warm.ending["degraded"] == []
        turn = await begun(chat, TEN_SECONDS)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(chat.until(lambda: turn.is_over))
            for name in ("memory", "npu", "rag", "browser"):
                assert not reading.done()
                assert await stack.terminate(name) == 0, stack.processes[name].log_end()
                tasks.create_task(stack.start(name))
        assert_whole(turn, TEN_SECONDS)


async def test_a_model_worker_writes_its_answers_to_the_end_and_leaves_the_next_to_its_successor(
    stack: Stack, ollama: OllamaFake
) -> None:
    async with (
        watching_deliveries(stack.nats_url, stack.operator_nkey),
        stack.chat(0) as chat,
        stack.chat(1) as other,
    ):
        calls = ollama.stats.calls
        turns = [await begun(chat, FIVE_SECONDS), await begun(other, FIVE_SECONDS)]
        async with asyncio.TaskGroup() as tasks:
            stopping = tasks.create_task(stack.terminate("llm"))
            reading = tasks.create_task(other.until(lambda: turns[1].is_over))
            await chat.until(lambda: turns[0].is_over)
            await reading
            late = await chat.start("And me?", model=QUICK_ID, collections=[])
            assert await stopping == 0, stack.processes["llm"].log_end()
        await stack.start("llm")
        await chat.until(lambda: late.is_over)
    for turn in turns:
        assert_whole(turn, FIVE_SECONDS)
    assert late.ending["type"] == "turn_completed", late.ending
    assert ollama.stats.calls == calls + 3


async def streamed_text(stack: Stack, gateway: int, begun: asyncio.Event) -> str:
    """Return an answer that is streamed over HTTP."""
    body = {"model": FIVE_SECONDS.id, "stream": True, "messages": [{"role": "user", "content": "Go."}]}
    text = ""
    async with (
        stack.http(gateway) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as response,
    ):
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                for choice in json.loads(line.removeprefix("data: "))["choices"]:
                    text += choice["delta"].get("content", "")
            if text:
                begun.set()
    return text


async def refused(chat: ChatClient, turn_id: str) -> Frame:
    """Start a turn that is refused and return the refusal."""
    await chat.send({"type": "start_turn", "turn_id": turn_id, "text": "Hi", "model": QUICK_ID})
    while True:
        frame = await chat.next_frame()
        if frame["type"] == "error":
            return frame


async def until_it_refuses(stack: Stack, gateway: int) -> None:
    async with stack.http(gateway) as client:

        async def is_stopping() -> bool:
            return (await client.get("/readyz")).status_code == 503

        await eventually(is_stopping)


@pytest.mark.parametrize("victim", [0, 1])
async def test_a_gateway_finishes_the_turns_it_runs_and_sends_new_ones_elsewhere(
    stack: Stack, victim: int
) -> None:
    name, late_id = f"gateway-{victim}", f"too-late-for-{victim}"
    async with (
        watching_deliveries(stack.nats_url, stack.operator_nkey),
        stack.chat(victim) as own,
        stack.chat(1 - victim) as other,
    ):
        is_begun = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            streaming = tasks.create_task(streamed_text(stack, victim, is_begun))
            own_turns = [await begun(own, FIVE_SECONDS) for _ in range(3)]
            other_turns = [await begun(other, FIVE_SECONDS) for _ in range(3)]
            await is_begun.wait()
            stopping = tasks.create_task(stack.terminate(name))
            await until_it_refuses(stack, victim)
            refusal = await refused(own, late_id)
            late = await other.ask("Hi", turn_id=late_id, model=QUICK_ID, collections=[])
            assert not any(turn.is_over for turn in (*own_turns, *other_turns))
            tasks.create_task(other.until(lambda: all(turn.is_over for turn in other_turns)))
            await own.until(lambda: all(turn.is_over for turn in own_turns))
            assert await stopping == 0, stack.processes[name].log_end()
            with pytest.raises(ConnectionClosed) as caught:
                await own.next_frame()
        await stack.start(name)
    for turn in (*own_turns, *other_turns):
        assert_whole(turn, FIVE_SECONDS)
    text = streaming.result()
    assert text == FIVE_SECONDS.answer_begun_as(text)
    assert (refusal["turn_id"], refusal["code"], refusal["retryable"]) == (late_id, "unavailable", True)
    assert late.ending["type"] == "turn_completed", late.ending
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == SERVICE_RESTART


async def test_clients_that_leave_as_their_gateway_stops_do_not_spoil_its_end(stack: Stack) -> None:
    async with AsyncExitStack() as sockets:
        chats = [await sockets.enter_async_context(stack.chat()) for _ in range(30)]
        for chat in chats:
            assert (await chat.answer_to({"type": "ping"}))["type"] == "pong"
        for chat in chats:
            chat.connection.transport.abort()
        # One round of the loop: the connections are reset just before the signal.
        await asyncio.sleep(0)
        stack.signal_term("gateway-0")
    assert await stack.processes["gateway-0"].ended() == 0, stack.processes["gateway-0"].log_end()
    await stack.start("gateway-0")


async def test_a_document_that_is_being_read_in_is_finished_before_its_service_ends(stack: Stack) -> None:
    text = "\n\n".join(
        f"# Entry {n}\n\n" + f"On day {n} the herd of {n * 7} sheep crossed the river at ford {n}. " * 9
        for n in range(60)
    )
    rag = stack.processes["rag"]
    async with watching_deliveries(stack.nats_url, stack.operator_nkey), stack.http() as client:
        with stack.frozen("npu"):
            response = await upload(client, "herd.md", text.encode(), "herds")
            document_id = response.json()["document"]["id"]

            async def is_being_read() -> bool:
                found = (await client.get(f"/api/documents/{document_id}")).json()["document"]
                return found["status"] == "ingesting"

            await eventually(is_being_read)
            asked_to_stop = rag.log.read_text().count("stopping")
            stack.signal_term("rag")

            async def is_stopping() -> bool:
                return rag.log.read_text().count("stopping") > asked_to_stop

            await eventually(is_stopping)
        assert await rag.ended() == 0, rag.log_end()
        await stack.start("rag")
        document = (await client.get(f"/api/documents/{document_id}")).json()["document"]
    assert (document["status"], document["chunks_done"]) == ("ready", document["chunks"])
