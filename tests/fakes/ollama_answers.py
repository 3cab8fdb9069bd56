"""The lines that the fake Ollama server answers in."""

import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from tests.fakes.scripted_answers import Behaviour, remaining_words, scripted_words

CREATED_AT = "2025-01-01T00:00:00.000000Z"
RETRY_AFTER_S = 7
"""What a proxy before the server says, which has no limits of its own."""

REFUSALS = {
    "error400": (400, "invalid option provided"),
    "error401": (401, "unauthorized"),
    "error429": (429, "too many requests"),
    "error500": (500, "llama runner process has terminated"),
    "error503": (503, "server busy, please try again. maximum pending requests exceeded"),
    "error529": (529, "the proxy before this server is busy"),
}
_LAST_LINES = {"malformed": '{"model": not json\n', "failing": '{"error": "out of memory"}\n'}


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
    words = remaining_words(behaviour, prefix, call)
    options: dict[str, Any] = body.get("options") or {}
    most = int(options.get("num_predict", -1))
    is_limited = 0 <= most < len(words)
    if is_limited:
        words = words[:most]
    async for word in scripted_words(behaviour, words):
        yield json.dumps({**head, **shape(word), "done": False}) + "\n"
    if behaviour.fault:
        if behaviour.fault in _LAST_LINES:
            yield _LAST_LINES[behaviour.fault]
        return
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
        "eval_count": len(words),
        "eval_duration": elapsed_ns,
    }
    if behaviour.form == "usage-strings":
        end |= {"prompt_eval_count": str(end["prompt_eval_count"]), "eval_count": "several"}
    if behaviour.form == "usage-absent":
        del end["prompt_eval_count"], end["eval_count"]
    yield json.dumps({**head, **shape(""), **end}) + ("" if behaviour.form == "unterminated" else "\n")
