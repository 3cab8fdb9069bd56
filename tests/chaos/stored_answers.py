"""The answer of a turn as memory keeps it; under load it may be stored after the turn has ended."""

from typing import Any

from tests.integration.stack import Stack
from tests.integration.turn_view import TurnView
from tests.integration.waiting import eventually

STORED_S = 30.0


async def stored_answer(stack: Stack, turn: TurnView) -> str:
    """Return the one stored answer of the only turn of a conversation."""
    found: list[dict[str, Any]] = []

    async def is_stored() -> bool:
        reply = await client.get(f"/api/conversations/{turn.conversation_id}")
        if reply.is_success:
            found[:] = [message for message in reply.json()["messages"] if message["role"] == "assistant"]
        return bool(found)

    async with stack.http() as client:
        await eventually(is_stored, within_s=STORED_S)
    [answer] = found
    return answer["text"]
