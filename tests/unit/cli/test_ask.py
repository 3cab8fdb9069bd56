"""How `parley ask` ends, as a process, against a scripted gateway."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

Script = Callable[[ServerConnection, str], Awaitable[None]]


@asynccontextmanager
async def asking(script: Script, folder: Path, *words: str) -> AsyncGenerator[Process]:
    """Run `parley ask` against a gateway that plays `script` with the turn's id."""

    async def play(connection: ServerConnection) -> None:
        frame: dict[str, Any] = json.loads(await connection.recv())
        await script(connection, frame["turn_id"])

    async with serve(play, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        own = {"PARLEY_URL": f"http://127.0.0.1:{port}", "PARLEY_API_KEY": "k"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "parley_cli", "ask", *words, "why?"),
            env={**os.environ, **own},
            cwd=folder,
            stdout=PIPE,
            stderr=PIPE,
        )
        async with asyncio.timeout(30):
            yield process


async def say(connection: ServerConnection, **frame: object) -> None:
    await connection.send(json.dumps(frame))


async def half_an_answer(connection: ServerConnection, turn_id: str) -> None:
    """Write until the client stops the turn, and end it as a gateway does."""
    await say(connection, type="turn_accepted", turn_id=turn_id, conversation_id="c1")
    await say(connection, type="text_delta", turn_id=turn_id, seq=1_000_001, text="Beca")
    frame: dict[str, Any] = json.loads(await connection.recv())
    assert frame == {"type": "cancel_turn", "turn_id": turn_id}
    end = {"conversation_id": "c1", "kept_chars": 4, "follows": 0}
    await say(connection, type="turn_cancelled", turn_id=turn_id, seq=2_000_000, **end)


async def test_an_answer_that_was_stopped_is_kept_and_exits_with_130(tmp_path: Path) -> None:
    async with asking(half_an_answer, tmp_path) as process:
        assert process.stdout is not None
        assert await process.stdout.readexactly(4) == b"Beca"
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert (process.returncode, out) == (130, b"\n")
    assert b"Stopped." in err


@pytest.mark.parametrize(
    ("code", "exit_code"), [("not_found", 4), ("model_not_found", 4), ("invalid_request", 1)]
)
async def test_what_is_not_there_exits_with_4(tmp_path: Path, code: str, exit_code: int) -> None:
    async def refuse(connection: ServerConnection, turn_id: str) -> None:
        await say(connection, type="error", turn_id=turn_id, code=code, message="No.", retryable=False)

    async with asking(refuse, tmp_path, "--json") as process:
        out, _ = await process.communicate()
    assert process.returncode == exit_code
    assert json.loads(out)["message"] == "No."
