"""Planned answers in the lines of an Ollama server: tool calls come whole, with their arguments as objects.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.fakes.planned_answers import Plan, plan_of

CREATED_AT = "2025-01-01T00:00:00.000000Z"
PROMPT_TOKENS = 9


def ollama_plan(body: dict[str, Any]) -> Plan | None:
    """Return what is answered to a request; None when its model has no plan."""
    schema: Any = None if body.get("format") == "json" else body.get("format")
    messages: list[Any] = body.get("messages") or []
    tools: list[Any] = body.get("tools") or []
    plan = plan_of(str(body.get("model")), messages=messages, tools=tools, schema=schema)
    # Ollama has no filter, and no words of its own for a refusal.
    if plan is not None and plan.refusal:
        return Plan(words=plan.refusal)
    return plan


def planned_lines(body: dict[str, Any], plan: Plan) -> Iterator[str]:
    """Yield the NDJSON lines of a planned answer."""
    head = {"model": body["model"], "created_at": CREATED_AT}

    def line(message: dict[str, Any], **more: Any) -> str:
        whole = {"role": "assistant", "content": "", **message}
        return json.dumps({**head, "message": whole, "done": False, **more}) + "\n"

    for thought in plan.thoughts:
        yield line({"thinking": thought})
    for word in plan.words:
        weighed = {"token": word, "logprob": -0.25, "bytes": list(word.encode())}
        yield line({"content": word}, **({"logprobs": [weighed]} if body.get("logprobs") else {}))
    for call in plan.calls:
        yield line({"tool_calls": [{"function": {"name": call.name, "arguments": call.arguments}}]})
    counts = {"prompt_eval_count": PROMPT_TOKENS, "eval_count": plan.pieces}
    yield line({}, done=True, done_reason="stop", **counts)
