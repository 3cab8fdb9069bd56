"""Planned answers in the events of an OpenAI-compatible server.

Source: https://platform.openai.com/docs/api-reference/chat-streaming; `reasoning_content` is vLLM's.
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.fakes.planned_answers import CACHED_TOKENS, Plan, cut, plan_of

PROMPT_TOKENS = 9


def openai_plan(body: dict[str, Any]) -> Plan | None:
    """Return what is answered to a request; None when its model has no plan."""
    wanted: dict[str, Any] = body.get("response_format") or {}
    named: dict[str, Any] = wanted.get("json_schema") or {}
    tools: list[Any] = body.get("tools") or []
    if body.get("tool_choice") == "none":
        tools = []
    schema = named.get("schema")
    return plan_of(str(body.get("model")), messages=body["messages"], tools=tools, schema=schema)


class PlannedCompletion:
    """One planned answer as the chunks of a stream."""

    def __init__(self, body: dict[str, Any], plan: Plan, call: int) -> None:
        self._body = body
        self._plan = plan
        self._head = {
            "id": f"chatcmpl-{call}",
            "object": "chat.completion.chunk",
            "created": 1_735_689_600,
            "model": body["model"],
        }
        self._call = call

    def events(self) -> Iterator[bytes]:
        """Yield the server-sent events."""
        yield self._event({"role": "assistant", "content": "" if self._plan.words else None})
        for thought in self._plan.thoughts:
            yield self._event({"reasoning_content": thought})
        for word in self._plan.words:
            yield self._event({"content": word}, logprobs=self._logprobs(word))
        for word in self._plan.refusal:
            yield self._event({"refusal": word})
        yield from self._calls()
        yield self._event({}, finish_reason=self._finish_reason())
        options: dict[str, Any] = self._body.get("stream_options") or {}
        if options.get("include_usage"):
            yield self._data({**self._head, "choices": [], "usage": self._usage()})
        yield b"data: [DONE]\n\n"

    def _calls(self) -> Iterator[bytes]:
        """Yield each call as OpenAI does: its id and name first, then its arguments in pieces."""
        for index, call in enumerate(self._plan.calls):
            function = {"name": call.name, "arguments": ""}
            first = {"index": index, "id": f"call_{self._call}_{index}", "type": "function"}
            yield self._event({"tool_calls": [{**first, "function": function}]})
            for piece in cut(call.text):
                yield self._event({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})

    def _finish_reason(self) -> str:
        # OpenAI says "stop" where the one tool to be called was named.
        is_named = isinstance(self._body.get("tool_choice"), dict)
        return "stop" if is_named else self._plan.finish_reason

    def _logprobs(self, word: str) -> dict[str, Any] | None:
        if not self._body.get("logprobs"):
            return None
        entry = {"token": word, "logprob": -0.25, "bytes": list(word.encode())}
        top = [entry] * int(self._body.get("top_logprobs") or 0)
        return {"content": [{**entry, "top_logprobs": top}], "refusal": None}

    def _usage(self) -> dict[str, Any]:
        pieces = self._plan.pieces
        return {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": pieces,
            "total_tokens": PROMPT_TOKENS + pieces,
            "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": len(self._plan.thoughts)},
        }

    def _event(self, delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason, **more}
        return self._data({**self._head, "choices": [choice]})

    def _data(self, chunk: dict[str, Any]) -> bytes:
        return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"
