"""A gateway for one `parley ask`: it plays a script with the turn that the client starts."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

Script = Callable[[ServerConnection, str], Awaitable[None]]


@asynccontextmanager
async def scripted_gateway(script: Script) -> AsyncGenerator[dict[str, str]]:
    """Serve while the body runs; yields the environment by which the command finds it."""

    async def play(connection: ServerConnection) -> None:
        await script(connection, (await hear(connection))["turn_id"])

    async with serve(play, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield {"PARLEY_URL": f"http://127.0.0.1:{port}", "PARLEY_API_KEY": "k"}


async def say(connection: ServerConnection, **frame: object) -> None:
    await connection.send(json.dumps(frame))


async def hear(connection: ServerConnection) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(await connection.recv())
    return frame


async def begin(connection: ServerConnection, turn_id: str, text: str) -> None:
    """Accept the turn and write the beginning of its answer."""
    await say(connection, type="turn_accepted", turn_id=turn_id, conversation_id="c1")
    await say(connection, type="text_delta", turn_id=turn_id, seq=1_000_001, text=text)


async def end_stopped(connection: ServerConnection, turn_id: str, kept_chars: int) -> None:
    """Wait for the stop and end the turn by it, as a gateway does."""
    assert await hear(connection) == {"type": "cancel_turn", "turn_id": turn_id}
    end = {"conversation_id": "c1", "kept_chars": kept_chars, "follows": 0}
    await say(connection, type="turn_cancelled", turn_id=turn_id, seq=2_000_000, **end)
