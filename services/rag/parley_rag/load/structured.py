"""JSON and JSON Lines: a `path: value` line for each value, an object of a list in a block."""

import json
from collections.abc import Iterator
from typing import TypeGuard, cast

from parley_rag.load.extraction import BlockKind, Extraction, TextBuilder, UnreadableDocument
from parley_rag.load.plain import load_plain
from parley_rag.load.sniff import decode

_MAX_DEPTH = 64
_TOO_DEEP = f"The JSON is nested more than {_MAX_DEPTH} levels deep."
_TITLE_KEYS = ("title", "name")


def load_json(data: bytes) -> Extraction:
    """Read a JSON text; what is none is read as it is."""
    try:
        value = _parsed(decode(data).lstrip("\ufeff"))
    except ValueError:  # with comments, or a template of one
        return load_plain(data)
    builder = TextBuilder()
    _write(builder, value)
    return builder.build(_title(value))


def load_json_lines(data: bytes) -> Extraction:
    """Read a JSON text a line; lines that are none stay as they are."""
    builder = TextBuilder()
    for line in decode(data).lstrip("\ufeff").split("\n"):  # other line ends may stand in a string
        if not line.strip():
            continue
        try:
            lines = list(_lines("", _parsed(line)))
        except ValueError:
            lines = [line]
        builder.add(BlockKind.LINES, "\n".join(lines))
    return builder.build(None)


def _parsed(text: str) -> object:
    try:
        value: object = json.loads(text)
    except RecursionError as error:
        raise UnreadableDocument(_TOO_DEEP) from error
    return value


def _title(value: object) -> str | None:
    members = dict(_members(value)) if _is_object(value) else {}
    found = (members.get(key) for key in _TITLE_KEYS)
    return next((title for title in found if isinstance(title, str)), None)


def _write(builder: TextBuilder, value: object) -> None:
    """Add a value: what an object holds directly in one block, and each thing that it contains in its own."""
    if not _is_object(value):
        for path, item in _items(value):
            builder.add(BlockKind.LINES, "\n".join(_lines(path, item)))
        return
    plain = [line for key, item in _members(value) if not _holds(item) for line in _lines(key, item)]
    builder.add(BlockKind.LINES, "\n".join(plain))
    for key, inner in _members(value):
        if _holds(inner):
            for path, item in _items(inner):
                builder.add(BlockKind.LINES, "\n".join(_lines(path, item)), (key,))


def _items(value: object) -> Iterator[tuple[str, object]]:
    """Yield the objects of a list one by one, anything else whole."""
    listed = _elements(value)
    if any(_is_object(item) for item in listed):
        yield from (("", item) for item in listed)
    else:
        yield "", value


def _lines(path: str, value: object) -> Iterator[str]:
    """Yield a line for each value below a value, walking without recursion."""
    stack: list[tuple[int, str, object]] = [(1, path, value)]
    while stack:
        depth, here, current = stack.pop()
        if depth > _MAX_DEPTH:
            raise UnreadableDocument(_TOO_DEEP)
        listed = _elements(current)
        if _is_object(current):
            inner = [(f"{here}.{key}" if here else key, item) for key, item in _members(current)]
        elif any(map(_holds, listed)):
            inner = [(f"{here}[{index}]", item) for index, item in enumerate(listed)]
        else:
            text = ", ".join(map(_text, listed)) if listed else _text(current)
            if text:
                yield f"{here}: {text}" if here else text
            continue
        stack += [(depth + 1, name, item) for name, item in reversed(inner)]


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _members(value: object) -> list[tuple[str, object]]:
    return list(value.items()) if _is_object(value) else []


def _elements(value: object) -> list[object]:
    return cast(list[object], value) if isinstance(value, list) else []


def _holds(value: object) -> bool:
    return bool(value) and isinstance(value, dict | list)


def _text(value: object) -> str:
    match value:
        case None | {} | []:
            return ""
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)
