"""Turns over a socket that breaks, is slow, refuses: against a scripted gateway on a real port."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from parley_cli.client.access import Access
from parley_cli.client.turn_socket import TurnSocket
from parley_cli.exits import CliError, ExitCode
from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.turns import TurnOutcome
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

Script = Callable[[ServerConnection, dict[str, Any]], Any]
KEY = "pk_right"
START = StartTurnFrame(type="start_turn", turn_id="t1", text="why?")
ACCEPTED = {"type": "turn_accepted", "turn_id": "t1", "conversation_id": "c1"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2}


def delta(seq: int, text: str) -> dict[str, Any]:
    return {"seq": seq, "type": "text_delta", "turn_id": "t1", "text": text}


def epoch(seq: int, keep_chars: int) -> dict[str, Any]:
    return {"seq": seq, "type": "epoch_started", "turn_id": "t1", "keep_chars": keep_chars, "follows": 0}


def completed(seq: int) -> dict[str, Any]:
    return {
        "seq": seq,
        "type": "turn_completed",
        "turn_id": "t1",
        "conversation_id": "c1",
        "model": "extractive",
        "usage": USAGE,
        "finish_reason": "stop",
        "citations": [],
        "degraded": [],
        "timings": {},
        "stored": "yes",
        "follows": 0,
    }


class ScriptedGateway:
    """Plays one script a connection and keeps the frames that clients sent."""

    def __init__(self, scripts: list[Script]) -> None:
        self.heard: list[dict[str, Any]] = []
        self._scripts = scripts

    async def play(self, connection: ServerConnection) -> None:
        frame: dict[str, Any] = json.loads(await connection.recv())
        self.heard.append(frame)
        await self._scripts.pop(0)(connection, frame)

    def refuse_wrong_keys(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.headers.get("Authorization") == f"Bearer {KEY}":
            return None
        return connection.respond(401, "no")

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[str]:
        async with serve(self.play, "127.0.0.1", 0, process_request=self.refuse_wrong_keys) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            yield f"http://127.0.0.1:{port}"


async def say(connection: ServerConnection, *frames: dict[str, Any]) -> None:
    for frame in frames:
        await connection.send(json.dumps(frame))


async def follow(turn: TurnSocket) -> None:
    async with asyncio.timeout(20), aclosing(turn.frames()) as frames:
        async for _ in frames:
            pass


async def test_an_answer_is_joined_from_its_deltas() -> None:
    async def script(connection: ServerConnection, _: dict[str, Any]) -> None:
        await say(
            connection, ACCEPTED, epoch(1_000_000, 0), delta(1_000_001, "Be"), delta(1_000_002, "cause.")
        )
        await say(connection, {"type": "something_newer"}, completed(1_000_003))

    gateway = ScriptedGateway([script])
    async with gateway.serving() as url:
        turn = TurnSocket(Access(url, KEY), "t1", START)
        await follow(turn)
    assert (turn.answer.text, turn.answer.conversation_id) == ("Because.", "c1")
    assert turn.answer.outcome is TurnOutcome.COMPLETED
    assert gateway.heard == [{"type": "start_turn", "turn_id": "t1", "text": "why?"}]


async def test_a_socket_that_dies_in_mid_answer_is_resumed_from_the_last_seq() -> None:
    async def first(connection: ServerConnection, _: dict[str, Any]) -> None:
        await say(connection, ACCEPTED, epoch(1_000_000, 0), delta(1_000_001, "Half "))
        connection.transport.abort()

    async def second(connection: ServerConnection, _: dict[str, Any]) -> None:
        # A gateway may repeat what a client has; it is shown once.
        await say(connection, delta(1_000_001, "Half "), delta(1_000_002, "whole."), completed(1_000_003))

    gateway = ScriptedGateway([first, second])
    async with gateway.serving() as url:
        turn = TurnSocket(Access(url, KEY), "t1", START)
        await follow(turn)
    assert turn.answer.text == "Half whole."
    assert gateway.heard[1] == {"type": "resume_turn", "turn_id": "t1", "after_seq": 1_000_001}


async def test_a_socket_that_dies_before_the_turn_was_accepted_asks_for_the_same_turn_again() -> None:
    async def first(connection: ServerConnection, _: dict[str, Any]) -> None:
        connection.transport.abort()

    async def second(connection: ServerConnection, _: dict[str, Any]) -> None:
        await say(connection, ACCEPTED, completed(1_000_000))

    gateway = ScriptedGateway([first, second])
    async with gateway.serving() as url:
        await follow(TurnSocket(Access(url, KEY), "t1", START))
    assert gateway.heard[0] == gateway.heard[1]


async def test_a_new_epoch_truncates_to_code_points_and_goes_on() -> None:
    async def script(connection: ServerConnection, _: dict[str, Any]) -> None:
        await say(connection, ACCEPTED, delta(1_000_001, "a😀bcd"), epoch(2_000_000, 2))
        await say(connection, delta(2_000_001, "!"), completed(2_000_002))

    async with ScriptedGateway([script]).serving() as url:
        turn = TurnSocket(Access(url, KEY), "t1", START)
        await follow(turn)
    assert turn.answer.text == "a😀!"


async def test_a_stop_is_sent_on_this_socket_and_again_after_a_reconnect() -> None:
    asked = asyncio.Event()

    async def first(connection: ServerConnection, _: dict[str, Any]) -> None:
        await say(connection, ACCEPTED, delta(1_000_001, "Once"))
        gateway.heard.append(json.loads(await connection.recv()))
        asked.set()
        connection.transport.abort()

    async def second(connection: ServerConnection, _: dict[str, Any]) -> None:
        gateway.heard.append(json.loads(await connection.recv()))
        end = {
            "type": "turn_cancelled",
            "turn_id": "t1",
            "conversation_id": "c1",
            "kept_chars": 4,
            "follows": 0,
        }
        await say(connection, {"seq": 2_000_000, **end})

    gateway = ScriptedGateway([first, second])
    async with gateway.serving() as url:
        turn = TurnSocket(Access(url, KEY), "t1", START)
        async with asyncio.timeout(20), aclosing(turn.frames()) as frames:
            async for _ in frames:
                if turn.answer.text and not asked.is_set():
                    await turn.cancel()
    assert turn.answer.outcome is TurnOutcome.CANCELLED
    cancel = {"type": "cancel_turn", "turn_id": "t1"}
    assert [frame for frame in gateway.heard if frame["type"] == "cancel_turn"] == [cancel, cancel]


async def test_a_log_that_has_expired_is_answered_by_its_stored_text() -> None:
    async def script(connection: ServerConnection, _: dict[str, Any]) -> None:
        stored = {"turn_id": "t1", "conversation_id": "c1", "outcome": "completed", "text": "Stored."}
        await say(connection, {"seq": 3_000_000, "type": "sync", **stored})

    async with ScriptedGateway([script]).serving() as url:
        turn = TurnSocket(Access(url, KEY), "t1", None)
        await follow(turn)
    assert (turn.answer.text, turn.answer.outcome) == ("Stored.", TurnOutcome.COMPLETED)


async def test_a_refused_turn_ends_with_the_gateways_words() -> None:
    async def script(connection: ServerConnection, _: dict[str, Any]) -> None:
        refusal = {"code": "not_found", "message": "There is no such conversation.", "retryable": False}
        await say(connection, {"type": "error", "turn_id": "t1", **refusal})

    async with ScriptedGateway([script]).serving() as url:
        turn = TurnSocket(Access(url, KEY), "t1", START)
        await follow(turn)
    assert turn.answer.failure == "There is no such conversation."
    assert turn.answer.outcome is TurnOutcome.FAILED


async def test_a_wrong_key_is_said_and_not_tried_again() -> None:
    gateway = ScriptedGateway([])
    async with gateway.serving() as url:
        with pytest.raises(CliError, match="The key was refused"):
            await follow(TurnSocket(Access(url, "pk_wrong"), "t1", START))
    assert gateway.heard == []


async def test_nobody_at_the_address_means_not_running(free_port: Callable[[], int]) -> None:
    with pytest.raises(CliError, match=r"Nothing answers at .*: is Parley running there") as caught:
        await follow(TurnSocket(Access(f"http://127.0.0.1:{free_port()}", KEY), "t1", START))
    assert caught.value.exit_code is ExitCode.NOT_RUNNING
