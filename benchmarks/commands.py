"""Commands to a benchmark's child process: JSON lines in on stdin, one JSON line out for each."""

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

NUMBER = "number"
"""The field that says which command an answer is to: one given up leaves its answer behind."""

FAILED = "failed"
"""The field of an answer to a command that raised."""

Command = Callable[..., Awaitable[dict[str, Any]]]


async def serve_commands(commands: dict[str, Command], *, greeting: dict[str, Any] | None = None) -> None:
    """Say `greeting`, then answer commands one by one until stdin ends; a failure is an answer too."""
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(sys.stdin.fileno(), "rb", closefd=False)
    )
    say(greeting or {})
    while line := await reader.readline():
        fields: dict[str, Any] = json.loads(line)
        number = fields.pop(NUMBER)
        say({NUMBER: number, **await _answer(commands[fields.pop("do")], fields)})


async def _answer(command: Command, fields: dict[str, Any]) -> dict[str, Any]:
    try:
        return await command(**fields)
    except Exception as error:  # noqa: BLE001 - told to whoever asked, who raises it
        traceback.print_exc()
        return {FAILED: f"{type(error).__name__}: {error}"}


def say(answer: dict[str, Any]) -> None:
    """Write one answer."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
