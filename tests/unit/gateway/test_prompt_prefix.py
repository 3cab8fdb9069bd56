"""What two turns of a conversation share stands at the beginning of both: providers' caches go by it."""

import json
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import pytest
from parley_contracts.citations import Citation, DocumentRef
from parley_contracts.llm import GenerateJob
from parley_contracts.tools import ToolSpec
from parley_contracts.turns import ChatMessage, TurnRef
from parley_gateway.prompt import assemble
from parley_llm.backends.anthropic_request import ClaudeTraits, message_body
from parley_llm.backends.chat_request import chat_messages, tool_specs

TOOLS = tuple(ToolSpec(name=name, description="d", parameters={"type": "object"}) for name in ("a", "b"))
SAID = [("user", "What is a pen?"), ("assistant", "A slot."), ("user", "Who has it?"), ("assistant", "One.")]
RULES = "Answer as a pirate. " * 20


def found(*texts: str) -> tuple[Citation, ...]:
    return tuple(
        Citation(
            n=number,
            text=text,
            score=1.0,
            document=DocumentRef(id="d", name="protocol.md", collection="default"),
            start=0,
            end=len(text),
        )
        for number, text in enumerate(texts, start=1)
    )


def turn(said: int, question: str, *passages: str, is_searched: bool = False) -> GenerateJob:
    """Return the job of a turn behind so many messages of the conversation."""
    history = [ChatMessage.model_validate({"role": role, "content": text}) for role, text in SAID[:said]]
    messages = assemble(
        question,
        history,
        found(*passages),
        is_searched=is_searched,
        instructions=RULES,
        calls_tools=True,
    )
    return GenerateJob(
        turn=TurnRef(turn_id="t", client_turn_id="c", owner_id="o", home="h"),
        base_slot=1,
        model="m",
        messages=messages,
        question=question,
        tools=TOOLS,
        deadline_ms=0,
    )


def as_openai(job: GenerateJob) -> list[Any]:
    """Return what a provider reads, in the order in which it reads it: tools first."""
    return [*tool_specs(job), *chat_messages(job, "")]


def as_claude(job: GenerateJob) -> list[Any]:
    body = message_body("m", job, ClaudeTraits(), usual_tokens=100, takes_sampling=False)
    return [*body["tools"], *body["system"], *body["messages"]]


def plain(part: Any) -> str:
    """Return a part without its cache marks: where they stand is no part of what is read."""
    if isinstance(part, dict):
        named: dict[str, Any] = part  # pyright: ignore[reportUnknownVariableType] - a request's JSON
        rest = {key: plain(value) for key, value in named.items() if key != "cache_control"}
        return json.dumps(rest)
    if isinstance(part, list):
        return json.dumps([plain(one) for one in part])  # pyright: ignore[reportUnknownVariableType] - the same
    return json.dumps(part)


def shared(first: Sequence[Any], second: Sequence[Any]) -> int:
    """Return how many parts two prompts begin with that are the same."""
    pairs = zip(map(plain, first), map(plain, second), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


WIRES = [as_openai, as_claude]


@pytest.mark.parametrize("wire", WIRES)
def test_a_turn_without_passages_is_whole_the_beginning_of_the_next(wire: Any) -> None:
    first, second = wire(turn(0, "What is a pen?")), wire(turn(2, "Who has it?"))
    assert shared(first, second) == len(first)


@pytest.mark.parametrize("wire", WIRES)
def test_what_was_found_changes_only_what_stands_behind_the_conversation(wire: Any) -> None:
    first = wire(turn(2, "Who has it?", "The pen passes on.", "It is one."))
    second = wire(turn(4, "And then?", "Something else.", is_searched=True))
    # Tools, instructions, and the conversation up to the question that was asked with passages.
    assert shared(first, second) == len(first) - 1
    same_again = wire(turn(2, "Who has it?", "Another passage."))
    assert shared(first, same_again) == len(first) - 1
    for part in first[:-1]:
        assert "The pen passes on." not in plain(part)


def test_what_claude_is_told_to_keep_is_what_the_next_turn_begins_with() -> None:
    first, second = as_claude(turn(2, "Who has it?", "Found.")), as_claude(turn(4, "And then?", "Other."))
    common = shared(first, second)
    marked = [number for number, part in enumerate(first) if "cache_control" in json.dumps(part)]
    assert marked
    assert max(marked) < common
    # The mark on the conversation stands as far back as it can be shared.
    assert max(marked) == common - 1


def test_the_same_turn_asked_again_is_the_same_to_the_byte() -> None:
    first, again = (json.dumps(as_claude(turn(4, "And then?", "Other."))) for _ in range(2))
    assert first == again
