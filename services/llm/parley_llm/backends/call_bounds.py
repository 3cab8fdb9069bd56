"""How much the calls of an answer may be: its last event holds them whole, and has to fit into a message."""

from uuid import uuid4

MOST_CALLS = 128
MOST_NAME_CHARS = 256
MOST_ARGUMENTS_CHARS = 262_144
"""Of all calls of an answer."""


class CallBounds:
    """The calls of one answer, counted. Raises ValueError for what is none, or too much."""

    def __init__(self) -> None:
        self.calls = 0
        self._arguments_chars = 0

    def begin(self, call_id: object, name: object) -> tuple[str, str]:
        """Count a call; return its id, one of our own where it has none that can be used, and its name."""
        if not isinstance(name, str) or not 0 < len(name) <= MOST_NAME_CHARS:
            raise ValueError("a tool call without a usable name")
        if self.calls == MOST_CALLS:
            raise ValueError("too many tool calls")
        self.calls += 1
        is_usable = isinstance(call_id, str) and 0 < len(call_id) <= MOST_NAME_CHARS
        return (str(call_id) if is_usable else f"call_{uuid4().hex}"), name

    def add(self, arguments: str) -> str:
        """Count a piece of a call's arguments, and return it."""
        self._arguments_chars += len(arguments)
        if self._arguments_chars > MOST_ARGUMENTS_CHARS:
            raise ValueError("the arguments of tool calls are too long")
        return arguments
