"""What the fake Ollama server answers: its models' behaviours, their words, and their faults."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

CREATED_AT = "2025-01-01T00:00:00.000000Z"
FAULTS = frozenset({"cut", "unfinished", "stall", "silent", "malformed", "failing", "error500"})
WORDS_BEFORE_FAULT = 3
_ERROR_LINE = '{"error": "out of memory"}\n'
_FIRST_WORD = re.compile(r"c(\d+)w0 ")


class ConnectionCutError(Exception):
    """Raised in a body so that the server drops the connection."""


@dataclass(frozen=True)
class Behaviour:
    """How one model answers; times in milliseconds."""

    fault: str | None = None
    ttft_ms: float = 0
    gap_ms: float = 0
    count: int = 20


def behaviour_of(model: str) -> Behaviour | None:
    """Return how a model of that name behaves; None when there is no such model."""
    if model in FAULTS:
        return Behaviour(fault=model, count=10)
    if model == "llama3.2:1b":
        return Behaviour()
    name, _, values = model.partition(":")
    if name != "paced":
        return None
    numbers = {
        key: float(value) for key, _, value in (pair.partition("=") for pair in values.split(",") if pair)
    }
    return Behaviour(
        ttft_ms=numbers.get("ttft", 0), gap_ms=numbers.get("gap", 0), count=int(numbers.get("count", 20))
    )


async def answer_lines(
    body: dict[str, Any],
    behaviour: Behaviour,
    prefix: str,
    shape: Callable[[str], dict[str, Any]],
    call: int,
) -> AsyncIterator[str]:
    """Yield the NDJSON lines of an answer as Ollama sends them, with the faults of its model."""
    started_ns = time.monotonic_ns()
    head = {"model": body["model"], "created_at": CREATED_AT}
    pieces = _pieces(behaviour.count, prefix, call)
    options: dict[str, Any] = body.get("options") or {}
    most = int(options.get("num_predict", -1))
    is_limited = 0 <= most < len(pieces)
    if behaviour.fault == "silent":
        await asyncio.Event().wait()
    await asyncio.sleep(behaviour.ttft_ms / 1000)
    for index, piece in enumerate(pieces[:most] if is_limited else pieces):
        if index and behaviour.gap_ms:
            await asyncio.sleep(behaviour.gap_ms / 1000)
        if index == WORDS_BEFORE_FAULT and behaviour.fault:
            if behaviour.fault in {"malformed", "failing"}:
                yield (
                    '{"model": not json\n'
                    if behaviour.fault == "malformed"
                    else '{"error": "out of memory"}\n'
                )
                return
            await _fault(behaviour.fault)
            return
        yield json.dumps({**head, **shape(piece), "done": False}) + "\n"
    messages: list[dict[str, str]] = body.get("messages") or []
    prompt = " ".join(message["content"] for message in messages) or str(body.get("prompt", ""))
    elapsed_ns = time.monotonic_ns() - started_ns
    end = {
        "done": True,
        "done_reason": "length" if is_limited else "stop",
        "total_duration": elapsed_ns,
        "load_duration": 1_000_000,
        "prompt_eval_count": len(prompt.split()),
        "prompt_eval_duration": 1_000_000,
        "eval_count": most if is_limited else len(pieces),
        "eval_duration": elapsed_ns,
    }
    yield json.dumps({**head, **shape(""), **end}) + "\n"


async def _fault(fault: str) -> None:
    """Drop the connection, send no more, or return so that the stream ends early."""
    if fault == "cut":
        raise ConnectionCutError
    if fault == "stall":
        await asyncio.Event().wait()


def _pieces(count: int, prefix: str, call: int) -> list[str]:
    """Return what is left of an answer of `count` words; a prefix of an earlier call is gone on from."""
    earlier = _FIRST_WORD.match(prefix)
    number = int(earlier.group(1)) if earlier else call
    pieces = [f"c{number}w{index} " for index in range(count)]
    left = len(prefix) if "".join(pieces).startswith(prefix) else 0
    rest: list[str] = []
    for piece in pieces:
        if left < len(piece):
            rest.append(piece[left:])
        left = max(left - len(piece), 0)
    return rest
