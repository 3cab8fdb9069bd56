"""The output of a response as it grows: an item for what is thought, for the text, and for each call.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["reasoning", "message", "function_call"]

Event = tuple[str, dict[str, Any]]
"""The type of an event, and what it says."""


@dataclass(slots=True)
class OutputItem:
    """One item, at its place in the output. Calls have a `call_id` and a `name`."""

    kind: Kind
    id: str
    output_index: int
    call_id: str = ""
    name: str = ""
    written: list[str] = field(default_factory=list[str])
    logprobs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def _at(self) -> dict[str, Any]:
        return {"item_id": self.id, "output_index": self.output_index}

    @property
    def _text(self) -> str:
        return "".join(self.written)

    def _part(self) -> dict[str, Any]:
        text: dict[str, Any] = {"type": "output_text", "text": self._text, "annotations": []}
        return {**text, "logprobs": list(self.logprobs)}

    def body(self, status: str) -> dict[str, Any]:
        """Return the item as it stands."""
        head = {"id": self.id, "type": self.kind, "status": status}
        has_written = bool(self.written)
        match self.kind:
            case "message":
                return {**head, "role": "assistant", "content": [self._part()] if has_written else []}
            case "reasoning":
                thought = [{"type": "reasoning_text", "text": self._text}] if has_written else []
                return {**head, "summary": [], "content": thought}
            case "function_call":
                return {**head, "call_id": self.call_id, "name": self.name, "arguments": self._text}

    def opening(self) -> Iterator[Event]:
        """Yield what tells that the item begins."""
        item = self.body("in_progress")
        yield "response.output_item.added", {"output_index": self.output_index, "item": item}
        if self.kind == "message":
            yield "response.content_part.added", {**self._at, "content_index": 0, "part": self._part()}

    def more(self, text: str, logprobs: list[dict[str, Any]]) -> Iterator[Event]:
        """Take more of the item, and yield what tells of it."""
        self.written.append(text)
        self.logprobs += logprobs
        delta = {**self._at, "delta": text}
        match self.kind:
            case "message":
                yield "response.output_text.delta", {**delta, "content_index": 0, "logprobs": logprobs}
            case "reasoning":
                yield "response.reasoning_text.delta", {**delta, "content_index": 0}
            case "function_call":
                yield "response.function_call_arguments.delta", delta

    def ending(self, status: str) -> Iterator[Event]:
        """Yield what tells that the item is whole."""
        text, content = self._text, {**self._at, "content_index": 0}
        match self.kind:
            case "message":
                yield "response.output_text.done", {**content, "text": text, "logprobs": list(self.logprobs)}
                yield "response.content_part.done", {**content, "part": self._part()}
            case "reasoning":
                yield "response.reasoning_text.done", {**content, "text": text}
            case "function_call":
                done = {**self._at, "name": self.name, "arguments": text}
                yield "response.function_call_arguments.done", done
        item = self.body(status)
        yield "response.output_item.done", {"output_index": self.output_index, "item": item}


class ResponseOutput:
    """The items of one response. Calls stay open together, for servers may write several at a time."""

    def __init__(self, turn_id: str) -> None:
        self._turn_id = turn_id
        self._items: list[OutputItem] = []
        self._open: list[OutputItem] = []
        self._calls: dict[int, OutputItem] = {}

    def take(self, delta: dict[str, Any], logprobs: list[dict[str, Any]] | None = None) -> Iterator[Event]:
        """Take a delta of a completion, and yield the events that tell of it."""
        for piece in delta.get("tool_calls", ()):
            yield from self._take_call(piece)
        if thought := delta.get("reasoning_content"):
            yield from self._go_on("rs", "reasoning", thought, [])
        if text := delta.get("content"):
            yield from self._go_on("msg", "message", text, logprobs or [])

    def close(self, status: str) -> Iterator[Event]:
        """Yield what ends the items that are open."""
        ending, self._open = self._open, []
        for item in ending:
            yield from item.ending(status)

    def body(self, status: str) -> list[dict[str, Any]]:
        """Return all items as they stand."""
        return [item.body(status if item is self._items[-1] else "completed") for item in self._items]

    def _take_call(self, piece: dict[str, Any]) -> Iterator[Event]:
        function, number = piece["function"], piece["index"]
        if "id" in piece:
            if self._open and self._open[-1].kind != "function_call":
                yield from self.close("completed")
            item = self._added("fc", "function_call")
            item.call_id, item.name = piece["id"], function["name"]
            self._calls[number] = item
            yield from item.opening()
        if function["arguments"]:
            yield from self._calls[number].more(function["arguments"], [])

    def _go_on(self, prefix: str, kind: Kind, text: str, logprobs: list[dict[str, Any]]) -> Iterator[Event]:
        if not self._open or self._open[-1].kind != kind:
            yield from self.close("completed")
            yield from self._added(prefix, kind).opening()
        yield from self._open[-1].more(text, logprobs)

    def _added(self, prefix: str, kind: Kind) -> OutputItem:
        index = len(self._items)
        item = OutputItem(kind, f"{prefix}_{self._turn_id}_{index}", index)
        self._items.append(item)
        self._open.append(item)
        return item
