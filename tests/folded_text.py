"""The text of a turn as its events make it; viewers hold each event against rules of their own."""

from collections.abc import Mapping
from typing import Any

from parley_contracts.turn_events import TERMINAL_TYPES


def folded(text: str, event: Mapping[str, Any]) -> str:
    """Return the text after an event, as the chat page makes it of the text before."""
    if event["type"] == "text_delta":
        return text + event["text"]
    if event["type"] == "epoch_started":
        return text[: event["keep_chars"]]
    if event["type"] in TERMINAL_TYPES:
        return text[: event.get("kept_chars")]
    return text
