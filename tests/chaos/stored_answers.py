"""What memory keeps of a turn; it may be told of a turn's end a while after the turn's viewers."""

from typing import Any

from tests.integration.stack import Stack
from tests.integration.turn_view import TurnView
from tests.integration.waiting import eventually

STORED_S = 60.0


async def stored_messages(stack: Stack, conversation_id: str) -> list[dict[str, Any]]:
    """Return the messages of a conversation once an answer is among them."""
    found: list[dict[str, Any]] = []

    async def is_stored() -> bool:
        reply = await client.get(f"/api/conversations/{conversation_id}")
        if reply.is_success:
            found[:] = reply.json()["messages"]
        return any(message["role"] == "assistant" for message in found)

    async with stack.http() as client:
        await eventually(is_stored, within_s=STORED_S)
    return found


async def stored_answer(stack: Stack, turn: TurnView) -> str:
    """Return the one stored answer of the only turn of a conversation."""
    messages = await stored_messages(stack, turn.conversation_id)
    [answer] = [message for message in messages if message["role"] == "assistant"]
    return answer["text"]
