"""What of an answer has still to be told to a client of OpenAI's, who cannot be told to forget."""

from collections.abc import Iterator
from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turn_events import EpochStarted, ReasoningDelta, TextDelta, ToolCallDelta

Delta = TextDelta | ReasoningDelta | ToolCallDelta


class UntoldDeltas:
    """Deltas that wait, in order; those of one kind that follow each other are told as one."""

    def __init__(self) -> None:
        self._waiting: list[Delta] = []
        self._told_chars = 0
        self._told_reasoning_chars = 0
        self._told_calls = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def told_chars(self) -> int:
        """How much of the answer's text the client has."""
        return self._told_chars

    def add(self, delta: Delta) -> None:
        """Have a delta wait."""
        self._waiting.append(delta)

    def cut(self, started: EpochStarted) -> None:
        """Take back what no longer stands.

        Raises:
            ParleyError: The client has some of it. What was thought is no part of the answer, and may differ.
        """
        if started.keep_chars < self._told_chars or started.keep_tool_calls < self._told_calls:
            raise ParleyError(ErrorCode.UPSTREAM_FAILED, "The answer was begun anew; ask again.")
        chars = started.keep_chars - self._told_chars
        reasoning_chars = started.keep_reasoning_chars - self._told_reasoning_chars
        waiting, self._waiting = self._waiting, []
        for delta in waiting:
            if isinstance(delta, ToolCallDelta):
                if delta.index < started.keep_tool_calls:
                    self._waiting.append(delta)
                continue
            left = chars if isinstance(delta, TextDelta) else reasoning_chars
            if left > 0:
                self._waiting.append(delta.model_copy(update={"text": delta.text[:left]}))
            if isinstance(delta, TextDelta):
                chars -= len(delta.text)
            else:
                reasoning_chars -= len(delta.text)
        self._told_reasoning_chars = min(self._told_reasoning_chars, started.keep_reasoning_chars)

    def tell(self) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]] | None]]:
        """Yield what waits as OpenAI's deltas, each with the likelihood of its tokens where that is known."""
        waiting, self._waiting = self._waiting, []
        at = 0
        while at < len(waiting):
            end = at + 1
            while end < len(waiting) and _are_one(waiting[at], waiting[end]):
                end += 1
            yield self._told(waiting[at:end])
            at = end

    def _told(self, deltas: list[Delta]) -> tuple[dict[str, Any], list[dict[str, Any]] | None]:
        first = deltas[0]
        if isinstance(first, ToolCallDelta):
            self._told_calls = max(self._told_calls, first.index + 1)
            return {"tool_calls": [_call(deltas)]}, None
        text = "".join(one.text for one in deltas if not isinstance(one, ToolCallDelta))
        if isinstance(first, ReasoningDelta):
            self._told_reasoning_chars += len(text)
            return {"reasoning_content": text}, None
        self._told_chars += len(text)
        logprobs = [entry for one in deltas if isinstance(one, TextDelta) for entry in one.logprobs or ()]
        return {"content": text}, logprobs or None


def _are_one(one: Delta, other: Delta) -> bool:
    """Return whether two deltas that follow each other can be told as one."""
    if isinstance(one, ToolCallDelta) and isinstance(other, ToolCallDelta):
        return one.index == other.index and other.call_id is None
    return type(one) is type(other) and not isinstance(one, ToolCallDelta)


def _call(deltas: list[Delta]) -> dict[str, Any]:
    pieces = [one for one in deltas if isinstance(one, ToolCallDelta)]
    first, arguments = pieces[0], "".join(one.arguments for one in pieces)
    if first.call_id is None:
        return {"index": first.index, "function": {"arguments": arguments}}
    function = {"name": first.name, "arguments": arguments}
    return {"index": first.index, "id": first.call_id, "type": "function", "function": function}
