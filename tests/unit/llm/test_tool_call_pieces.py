"""Tool calls in the ways that servers write them: the first piece of each says whose it is."""

from typing import Any

import pytest
from parley_llm.backends.anthropic_answers import MessageDecoder
from parley_llm.backends.call_bounds import MOST_ARGUMENTS_CHARS, MOST_CALLS
from parley_llm.backends.tool_call_pieces import ToolCallPieces
from parley_llm.language_model import ToolCallChunk
from pydantic_core import to_json


def call(name: str | None = None, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {**fields, "function": function}


def read(*parts: list[dict[str, Any]]) -> list[ToolCallChunk]:
    pieces = ToolCallPieces()
    return [piece for part in parts for piece in pieces.read(part)]


def folded(pieces: list[ToolCallChunk]) -> dict[int, tuple[str | None, str | None, str]]:
    found: dict[int, tuple[str | None, str | None, str]] = {}
    for piece in pieces:
        if piece.index in found:
            assert (piece.id, piece.name) == (None, None)
        first = found.get(piece.index, (piece.id, piece.name, ""))
        found[piece.index] = (first[0], first[1], first[2] + piece.arguments)
    return found


@pytest.mark.parametrize(
    "parts",
    [
        [
            [call("add", "", index=0, id="a")],
            [call(None, '{"x"', index=0)],
            [call("sub", "", index=1, id="b")],
            [call(None, ":1}", index=0), call(None, "{}", index=1)],
        ],
        [[call("add", '{"x":1}', index=0, id="a"), call("sub", "{}", index=1, id="b")]],
        [
            [call("add", '{"x"', index=0, id="a")],
            [call("add", ":1}", index=0, id="a")],
            [call("sub", "{}", id="b")],
        ],
        [[call("add", '{"x":1}', id="a")], [call("sub", "{}", id="b")]],
        [[call("add", '{"x"', id="a")], [call(None, ":1}")], [call("sub", "{}", id="b")]],
        [[call("add", '{"x":1}', index=0, id="a")], [call("sub", "{}", index=0, id="b")]],
        [[call("add", {"x": 1}, id="a")], [call("sub", {}, id="b")]],
    ],
    ids=[
        "OpenAI's pieces",
        "whole in one part",
        "id and name repeated",
        "whole without an index",
        "pieces without an index",
        "the same index for each",
        "arguments as objects",
    ],
)
def test_calls_are_the_same_however_they_are_written(parts: list[list[dict[str, Any]]]) -> None:
    assert folded(read(*parts)) == {0: ("a", "add", '{"x":1}'), 1: ("b", "sub", "{}")}


def test_a_call_without_an_id_gets_one_of_its_own() -> None:
    first, second = read([call("now", {})], [call("now", {})])
    assert (first.index, second.index) == (0, 1)
    assert first.id
    assert first.id != second.id


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ([[call(None, "{}", index=0)]], "without a usable name"),
        ([[call("", "{}", index=0)]], "without a usable name"),
        ([[call("f" * 1000, "{}", index=0)]], "without a usable name"),
        ([[call("f", "{}")] * (MOST_CALLS + 1)], "too many"),
        ([[call("f", "x" * 1000, index=0)]] * (MOST_ARGUMENTS_CHARS // 1000 + 1), "too long"),
    ],
    ids=["no name", "an empty name", "a long name", "too many", "without end"],
)
def test_what_is_no_call_or_too_much_is_refused(parts: list[list[dict[str, Any]]], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        read(*parts)


def event(**told: Any) -> bytes:
    return b"data: %b\n\n" % to_json(told)


def begun(index: int, name: str) -> bytes:
    block: dict[str, Any] = {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": {}}
    return event(type="content_block_start", index=index, content_block=block)


ARGUMENTS = event(
    type="content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": "x" * 1000}
)


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        ([begun(0, "")], "without a usable name"),
        ([begun(0, "f" * 1000)], "without a usable name"),
        ([begun(index, "f") for index in range(MOST_CALLS + 1)], "too many"),
        ([begun(0, "f"), *[ARGUMENTS] * (MOST_ARGUMENTS_CHARS // 1000 + 1)], "too long"),
    ],
    ids=["an empty name", "a long name", "too many", "without end"],
)
def test_so_it_is_of_calls_that_come_in_blocks(sent: list[bytes], fault: str) -> None:
    decoder = MessageDecoder("claude")
    with pytest.raises(ValueError, match=fault):
        list(decoder.feed(b"".join(sent)))


def test_an_id_that_is_too_long_to_keep_is_replaced_by_one_of_our_own() -> None:
    (piece,) = read([call("f", "{}", id="i" * 1000)])
    assert piece.id is not None
    assert piece.id.startswith("call_")
