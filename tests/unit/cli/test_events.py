"""What `parley events` prints of a turn: a line an event, short enough to read."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection

from tests.unit.cli.scripted_gateway import say, scripted_gateway

DOCUMENT = {"id": "d1", "name": "a.md", "collection": "default"}
CITATION = {"n": 1, "text": "A whole passage.", "score": 1.0, "document": DOCUMENT, "start": 0, "end": 16}
COMPLETED: dict[str, Any] = {
    "type": "turn_completed",
    "follows": 1_000_002,
    "conversation_id": "c1",
    "model": "extractive",
    "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    "finish_reason": "stop",
    "citations": [CITATION, CITATION],
    "degraded": [],
    "timings": {"claimed_ms": 1.5, "total_ms": 12.8},
    "stored": "yes",
}


async def one_turn(connection: ServerConnection, turn_id: str) -> None:
    await say(connection, type="turn_accepted", turn_id=turn_id, conversation_id="c1")
    given = {"citations": [CITATION], "degraded": []}
    await say(connection, type="context_ready", turn_id=turn_id, seq=1_000_001, **given)
    await say(connection, type="text_delta", turn_id=turn_id, seq=1_000_002, text='It "is".\n')
    await say(connection, turn_id=turn_id, seq=2_000_000, **COMPLETED)


async def test_events_are_lines_with_json_values_and_without_whole_passages(tmp_path: Path) -> None:
    async with scripted_gateway(one_turn) as own, asyncio.timeout(30):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "parley_cli", "events", "my-turn-1"),
            env={**os.environ, **own},
            cwd=tmp_path,
            stdout=PIPE,
        )
        out, _ = await process.communicate()
    assert process.returncode == 0
    accepted, context, *rest = [" ".join(line.split()) for line in out.decode().splitlines()]
    assert accepted == 'turn_accepted conversation_id="c1"'
    assert context.startswith("1000001 context_ready citations=1 (--json shows them) degraded=[]")
    delta, completed = rest
    assert delta == r'1000002 text_delta "It \"is\".\n"'
    shown = ('model="extractive"', 'usage={"prompt_tokens": 1, "completion_tokens": 2,', 'stored="yes"')
    assert all(f" {field}" in completed for field in (*shown, "citations=2 (--json", "total_ms=12.8"))
    assert "A whole passage" not in completed
    assert "claimed_ms" not in completed
