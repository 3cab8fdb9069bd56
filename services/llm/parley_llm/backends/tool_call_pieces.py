"""Tool calls as servers write them, in pieces or whole, made into pieces that all look alike."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic_core import to_json

from parley_llm.backends.call_bounds import CallBounds
from parley_llm.language_model import ToolCallChunk

Json = Mapping[str, Any]

_NOTHING: Json = {}


class ToolCallPieces:
    """The calls of one answer. Raises TypeError or ValueError for what is no piece of a call."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._indices: dict[int, int] = {}
        self._bounds = CallBounds()

    @property
    def are_there(self) -> bool:
        """Whether any call was begun."""
        return bool(self._ids)

    def read(self, entries: Sequence[Json]) -> Iterator[ToolCallChunk]:
        """Yield the pieces in one part of a stream: the first of each call has its id and name."""
        for entry in entries:
            function: Json = entry.get("function") or _NOTHING
            arguments = self._bounds.add(_text(function.get("arguments")))
            index = self._known(entry)
            if index is None:
                yield self._begin(entry, function, arguments)
            elif arguments:
                yield ToolCallChunk(index, None, None, arguments)

    def _known(self, entry: Json) -> int | None:
        """Return the number of the call that a piece goes on with; None begins one.

        Servers that write no `index` write whole calls, repeat the id, or leave out the name.
        """
        index, call_id = entry.get("index"), entry.get("id")
        if isinstance(index, int):
            known = self._indices.get(index)
            # Some servers write 0 for each of several whole calls.
            is_another = known is not None and call_id and call_id != self._ids[known]
            return None if is_another and _name(entry) else known
        if call_id in self._ids:
            return self._ids.index(call_id)
        return len(self._ids) - 1 if self._ids and not _name(entry) else None

    def _begin(self, entry: Json, function: Json, arguments: str) -> ToolCallChunk:
        call_id, name = self._bounds.begin(entry.get("id"), function.get("name"))
        number = len(self._ids)
        self._ids.append(call_id)
        if isinstance(index := entry.get("index"), int):
            self._indices[index] = number
        return ToolCallChunk(number, call_id, name, arguments)


def _name(entry: Json) -> object:
    return cast(Json, entry.get("function") or _NOTHING).get("name")


def _text(arguments: object) -> str:
    """Return arguments as JSON text: Ollama writes them as an object, and whole."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else to_json(arguments).decode()
