"""A prompt as Anthropic's Messages API takes it: the system prompt apart, turns of blocks, and cache marks.

Source: https://platform.claude.com/docs/en/api/messages
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from parley_contracts.tools import ToolCall
from parley_contracts.turns import ChatMessage
from pydantic_core import from_json

from parley_llm.shown_messages import ShownImage, images_of

MARK: Mapping[str, Any] = {"cache_control": {"type": "ephemeral"}}
"""Has the provider keep all that stands up to the end of a block for a few minutes."""

LEFT_OUT = "(What was said before is left out.)"

Block = dict[str, Any]


def system_blocks(messages: Sequence[ChatMessage], *, more: str = "") -> list[Block]:
    """Return the system prompt; its end is kept, together with the tools that stand before it."""
    texts = [message.content for message in messages if message.role == "system"]
    blocks = [_text(text) for text in (*texts, more) if text.strip()]
    if blocks:
        blocks[-1] |= MARK
    return blocks


def turn_messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Return what was said, users and assistant in turn, as the API has it.

    Kept are the conversation up to the last question, which the next turn repeats, and all of it where
    tools were called since: the next call repeats that.
    """
    turns: list[dict[str, Any]] = []
    history_end = 0
    for message in messages:
        if message.role == "system":
            continue
        if message.role == "user":
            history_end = len(turns)
        _add(turns, _role(message), _blocks(message))
    if not turns or turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": [_text(LEFT_OUT)]})
        history_end += 1
    _mark(turns, history_end - 1)
    if history_end < len(turns) - 1:
        _mark(turns, len(turns) - 1)
    return turns


def _role(message: ChatMessage) -> str:
    # The results of tools are told by the user.
    return "assistant" if message.role == "assistant" else "user"


def _add(turns: list[dict[str, Any]], role: str, blocks: list[Block]) -> None:
    """Append blocks; what one has said in several messages is one turn."""
    if not blocks:
        return
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] += blocks
    else:
        turns.append({"role": role, "content": blocks})


def _mark(turns: list[dict[str, Any]], place: int) -> None:
    if place >= 0:
        turns[place]["content"][-1] |= MARK


def _blocks(message: ChatMessage) -> list[Block]:
    if message.role == "tool":
        result = {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.content}
        return [result]
    said = [_text(message.content)] if message.content.strip() else []
    # The API advises to show before asking.
    return [*map(_image, images_of(message)), *said, *map(_tool_use, message.tool_calls)]


def _image(image: ShownImage) -> Block:
    source = {"type": "base64", "media_type": image.content_type, "data": image.base64}
    return {"type": "image", "source": source}


def _tool_use(call: ToolCall) -> Block:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": _arguments(call)}


def _arguments(call: ToolCall) -> dict[str, Any]:
    """Return the arguments as the object that the API asks for; what is none is told as it was written."""
    try:
        found: Any = from_json(call.arguments or "{}")
    except ValueError:
        found = None
    return cast(dict[str, Any], found) if isinstance(found, dict) else {"arguments": call.arguments}


def _text(text: str) -> Block:
    return {"type": "text", "text": text}
