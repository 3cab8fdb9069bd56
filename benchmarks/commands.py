"""Commands to a benchmark's child process: JSON lines in on stdin, one JSON line out for each."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

Command = Callable[..., Awaitable[dict[str, Any]]]


async def serve_commands(commands: dict[str, Command], *, greeting: dict[str, Any] | None = None) -> None:
    """Say `greeting`, then answer commands one by one until stdin ends; a failure ends the process."""
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(sys.stdin.fileno(), "rb", closefd=False)
    )
    say(greeting or {})
    while line := await reader.readline():
        fields: dict[str, Any] = json.loads(line)
        say(await commands[fields.pop("do")](**fields))


def say(answer: dict[str, Any]) -> None:
    """Write one answer."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
