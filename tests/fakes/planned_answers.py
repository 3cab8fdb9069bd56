"""What fake model servers answer beyond plain words, whatever their protocol, by the name of the model.

`plan:tools` calls each tool that it may with arguments made from its schema, and answers with words once it
has the results; `plan:eyes` says which images it was shown; `plan:thinker` thinks before it answers;
`plan:json` writes what `response_format` asks for;
`plan:filtered` is cut by a filter and `plan:refusing` refuses.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.fakes.shown_images import EYES, described

PLANS = ("plan:tools", "plan:thinker", "plan:json", "plan:filtered", "plan:refusing", EYES)
THOUGHTS = ("They ask ", "for a count. ", "I count.")
REFUSAL = ("I cannot ", "help with that.")
WORDS = ("One ", "two ", "three.")
CACHED_TOKENS = 4
PIECE_CHARS = 7


@dataclass(frozen=True)
class PlannedCall:
    """One call of a tool."""

    name: str
    arguments: dict[str, Any]

    @property
    def text(self) -> str:
        return json.dumps(self.arguments)


@dataclass(frozen=True)
class Plan:
    """What an answer is made of, in this order."""

    thoughts: Sequence[str] = ()
    words: Sequence[str] = ()
    refusal: Sequence[str] = ()
    calls: Sequence[PlannedCall] = ()
    finish_reason: str = "stop"

    @property
    def pieces(self) -> int:
        """How many tokens it counts as."""
        return len(self.thoughts) + len(self.words) + len(self.refusal) + len(self.calls)


_FIXED = {
    "plan:thinker": Plan(thoughts=THOUGHTS, words=WORDS),
    "plan:filtered": Plan(words=WORDS[:1], finish_reason="content_filter"),
    "plan:refusing": Plan(refusal=REFUSAL),
}


def plan_of(model: str, *, messages: Sequence[Any], tools: Sequence[Any], schema: Any) -> Plan | None:
    """Return what a model of that name answers; None when its answers are not planned."""
    if (fixed := _FIXED.get(model)) is not None:
        return fixed
    match model:
        case "plan:json":
            return Plan(words=cut(json.dumps(made_by(schema or {}))))
        case "plan:eyes":
            return Plan(words=cut(described(messages)))
        case "plan:tools":
            return _calling(messages, tools)
        case _:
            return None


def _calling(messages: Sequence[Any], tools: Sequence[Any]) -> Plan:
    results = [one["content"] for one in messages if one["role"] == "tool"]
    if results or not tools:
        return Plan(words=cut(f"The tools said: {'; '.join(results) or 'nothing'}"))
    functions = [one["function"] for one in tools]
    calls = [PlannedCall(one["name"], made_by(one.get("parameters") or {})) for one in functions]
    return Plan(calls=calls, finish_reason="tool_calls")


def cut(text: str) -> list[str]:
    """Return a text in the pieces that it is streamed in."""
    return [text[at : at + PIECE_CHARS] for at in range(0, len(text), PIECE_CHARS)]


def made_by(schema: dict[str, Any]) -> Any:
    """Return a value that follows a JSON Schema, as far as tests use them."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type", "object"):
        case "object":
            return {name: made_by(one) for name, one in schema.get("properties", {}).items()}
        case "array":
            return [made_by(schema.get("items", {}))]
        case "integer" | "number":
            return 7
        case "boolean":
            return True
        case _:
            return 'some "text"'
