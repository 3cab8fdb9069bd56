"""How `parley ask` ends, as a process, against a scripted gateway."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection

from tests.unit.cli.screen import CTRL_C, on_a_screen
from tests.unit.cli.scripted_gateway import Script, begin, end_stopped, hear, say, scripted_gateway

FULL_LINE = " ".join(["word"] * 12)
"""59 of the screen's 60 columns: what the terminal writes for Ctrl-C does not fit behind it."""


@asynccontextmanager
async def asking(script: Script, folder: Path, *words: str) -> AsyncGenerator[Process]:
    """Run `parley ask` against a gateway that plays `script` with the turn's id."""
    async with scripted_gateway(script) as own, asyncio.timeout(30):
        yield await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "parley_cli", "ask", *words, "why?"),
            env={**os.environ, **own},
            cwd=folder,
            stdout=PIPE,
            stderr=PIPE,
        )


async def half_an_answer(connection: ServerConnection, turn_id: str) -> None:
    """Write until the client stops the turn, and end it."""
    await begin(connection, turn_id, "Beca")
    await end_stopped(connection, turn_id, 4)


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


async def test_a_stop_on_a_terminal_repeats_no_line_and_is_told(tmp_path: Path) -> None:
    text = f"First.\n\n{FULL_LINE} {FULL_LINE}"

    async def script(connection: ServerConnection, turn_id: str) -> None:
        await begin(connection, turn_id, text)
        await end_stopped(connection, turn_id, len(text))

    async with scripted_gateway(script) as own, on_a_screen(own, tmp_path, "ask", "why?") as screen:
        await screen.until(lambda lines: " ".join(lines).count("word") == 24)
        screen.press(CTRL_C)
        assert await screen.ended() == 130
        shown = screen.lines
    assert " ".join(shown).count("word") == 24
    assert [line for line in shown if line and "word" not in line] == [
        "First.",
        "Stopping; Ctrl-C again leaves at once.",
        "Stopped.",
    ]


async def test_a_place_in_the_queue_is_told_once_on_a_terminal(tmp_path: Path) -> None:
    place = {"position": 3, "waits_for": "model", "after_seq": 1_000_001}

    async def script(connection: ServerConnection, turn_id: str) -> None:
        await begin(connection, turn_id, FULL_LINE)
        await say(connection, type="queue_position", turn_id=turn_id, **place)
        await say(connection, type="text_delta", turn_id=turn_id, seq=1_000_002, text=" more")
        await end_stopped(connection, turn_id, 60)

    async with scripted_gateway(script) as own, on_a_screen(own, tmp_path, "ask", "why?") as screen:
        await screen.until(lambda lines: "more" in " ".join(lines))
        screen.press(CTRL_C)
        assert await screen.ended() == 130
        shown = " ".join(screen.lines)
    assert (shown.count("word"), shown.count("Waiting, 2 before you.")) == (12, 1)


async def test_a_second_ctrl_c_leaves_at_once_and_says_where_the_turn_is_found(tmp_path: Path) -> None:
    stopped = asyncio.Event()

    async def script(connection: ServerConnection, turn_id: str) -> None:
        await begin(connection, turn_id, "Beca")
        assert (await hear(connection))["type"] == "cancel_turn"
        stopped.set()
        await connection.wait_closed()

    async with asking(script, tmp_path, "--turn-id", "my-turn-1") as process:
        assert process.stdout is not None
        assert await process.stdout.readexactly(4) == b"Beca"
        process.send_signal(signal.SIGINT)
        await stopped.wait()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert b"`parley events my-turn-1`" in err


async def test_a_stop_before_the_turn_was_accepted_is_sent_once_it_is(tmp_path: Path) -> None:
    asked, may_accept = asyncio.Event(), asyncio.Event()

    async def script(connection: ServerConnection, turn_id: str) -> None:
        asked.set()
        await may_accept.wait()
        await begin(connection, turn_id, "Beca")
        await end_stopped(connection, turn_id, 4)

    async with asking(script, tmp_path) as process:
        assert process.stderr is not None
        await asked.wait()
        process.send_signal(signal.SIGINT)
        assert b"Stopping" in await process.stderr.readline()
        may_accept.set()
        out, _ = await process.communicate()
    assert (process.returncode, out) == (130, b"Beca\n")


async def test_a_stopped_answer_in_a_file_is_set_off_from_its_sources_by_one_blank_line(
    tmp_path: Path,
) -> None:
    text = "One [1].\n\n"
    document = {"id": "d1", "name": "a.md", "collection": "default"}
    citation = {"n": 1, "text": "One", "score": 1.0, "document": document, "start": 0, "end": 3}

    async def script(connection: ServerConnection, turn_id: str) -> None:
        await say(connection, type="turn_accepted", turn_id=turn_id, conversation_id="c1")
        given = {"citations": [citation], "degraded": []}
        await say(connection, type="context_ready", turn_id=turn_id, seq=1_000_001, **given)
        await say(connection, type="text_delta", turn_id=turn_id, seq=1_000_002, text=text)
        await end_stopped(connection, turn_id, len(text))

    async with asking(script, tmp_path) as process:
        assert process.stdout is not None
        assert await process.stdout.readexactly(8) == b"One [1]."
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
    assert out == b"\n\nSources\n  [1] a.md\n"
