"""The events that the fake Messages API answers in, and its refusals.

Sources: https://platform.claude.com/docs/en/build-with-claude/streaming and
https://platform.claude.com/docs/en/api/errors
"""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from tests.fakes.openai_forms import EVENT_FORMS
from tests.fakes.scripted_answers import Behaviour, remaining_words, scripted_words

RETRY_AFTER_S = 7
REFUSALS: dict[str, tuple[int, str, str]] = {
    "error400": (400, "invalid_request_error", "invalid option provided: temperature"),
    "too_long": (400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
    "error401": (401, "authentication_error", "invalid x-api-key"),
    "error403": (403, "permission_error", "Your API key does not have permission to use sk-ant-fake."),
    "quota429": (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
    "error413": (413, "request_too_large", "Request exceeds the maximum size"),
    "error429": (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    "error500": (500, "api_error", "CUDA out of memory."),
    "error503": (503, "api_error", "upstream connect error"),
    "error529": (529, "overloaded_error", "Overloaded"),
}
_ERRORS_IN_STREAM = {
    "failing": ("api_error", "CUDA out of memory."),
    "failing429": ("overloaded_error", "Overloaded"),
    "failing_quota": ("billing_error", "Your credit balance is too low."),
}
STOP_REASONS = {
    "filtered": "refusal",
    "context-full": "model_context_window_exceeded",
    "tools": "tool_use",
    "two-tools": "tool_use",
    "stop-sequence": "stop_sequence",
}
THOUGHT = ("The user ", "counts.")
CITIES = ("Paris", "Oslo")


def error_body(kind: str, message: str, call: int = 0) -> dict[str, Any]:
    """Return an error as the API words it."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": f"req_{call}"}


def event(kind: str, **fields: Any) -> bytes:
    """Return one server-sent event of the stream."""
    data = json.dumps({"type": kind, **fields}, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n".encode()


def prefix_of(body: dict[str, Any]) -> str:
    """Return the text to go on from: that of a last message of the assistant."""
    last = (body.get("messages") or [{"role": "user"}])[-1]
    return str(last["content"]) if last["role"] == "assistant" else ""


class ScriptedMessage:
    """One answer: its blocks, and the events or the object that they travel in."""

    def __init__(
        self, body: dict[str, Any], behaviour: Behaviour, call: int, prompt_counts: dict[str, int]
    ) -> None:
        self._behaviour = behaviour
        self._call = call
        self._model = str(body["model"])
        words = remaining_words(behaviour, prefix_of(body), call)
        limit = int(body["max_tokens"])
        stop = "max_tokens" if limit < len(words) else "end_turn"
        self._stop_reason = STOP_REASONS.get(behaviour.form, stop)
        self._words = words[:limit]
        self._prompt_counts = prompt_counts
        self._tools: list[dict[str, Any]] = body.get("tools") or []

    @property
    def _usage(self) -> dict[str, Any]:
        kept = self._prompt_counts["cache_creation_input_tokens"]
        ttl = {"ephemeral_5m_input_tokens": kept, "ephemeral_1h_input_tokens": 0}
        return {**self._prompt_counts, "cache_creation": ttl, "service_tier": "standard"}

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the events of the answer in the form of its model."""
        write = EVENT_FORMS.get(self._behaviour.form)
        async for piece in self._plain_events():
            yield piece if write is None else write(piece)

    async def _plain_events(self) -> AsyncIterator[bytes]:
        """Yield the server-sent events of the answer, one piece a word."""
        message: dict[str, Any] = {
            **self._head(),
            "content": [],
            "usage": {**self._usage, "output_tokens": 1},
        }
        yield event("message_start", message=message)
        for piece in self._thinking():
            yield piece
        index = 1 if self._behaviour.form == "thinking" else 0
        yield event("content_block_start", index=index, content_block={"type": "text", "text": ""})
        yield event("ping")
        async for word in scripted_words(self._behaviour, self._words):
            delta = {"type": "text_delta", "text": word}
            yield event("content_block_delta", index=index, delta=delta)
        if self._behaviour.fault:
            if self._behaviour.fault == "malformed":
                yield b"event: content_block_delta\ndata: {not json\n\n"
            elif self._behaviour.fault in _ERRORS_IN_STREAM:
                kind, text = _ERRORS_IN_STREAM[self._behaviour.fault]
                yield event("error", **{k: v for k, v in error_body(kind, text).items() if k != "type"})
            return
        yield event("content_block_stop", index=index)
        for piece in self._tool_uses(index + 1):
            yield piece
        yield self._end()

    def _thinking(self) -> Iterator[bytes]:
        if self._behaviour.form != "thinking":
            return
        block = {"type": "thinking", "thinking": "", "signature": ""}
        yield event("content_block_start", index=0, content_block=block)
        for thought in THOUGHT:
            delta = {"type": "thinking_delta", "thinking": thought}
            yield event("content_block_delta", index=0, delta=delta)
        signature = {"type": "signature_delta", "signature": "EqQBCgIYAhIM"}
        yield event("content_block_delta", index=0, delta=signature)
        yield event("content_block_stop", index=0)

    def _tool_uses(self, first: int) -> Iterator[bytes]:
        """Yield the calls of tools that a model of that form makes, the arguments in pieces."""
        calls = {"tools": 1, "two-tools": 2}.get(self._behaviour.form, 0)
        for place, block in enumerate(self._tool_blocks(calls)):
            index = first + place
            arguments = json.dumps(block["input"])
            yield event("content_block_start", index=index, content_block={**block, "input": {}})
            for piece in ("", arguments[:9], arguments[9:]):
                delta = {"type": "input_json_delta", "partial_json": piece}
                yield event("content_block_delta", index=index, delta=delta)
            yield event("content_block_stop", index=index)

    def _tool_blocks(self, calls: int) -> list[dict[str, Any]]:
        name = self._tools[0]["name"] if self._tools else "get_weather"
        return [
            {"type": "tool_use", "id": f"toolu_{self._call}_{place}", "name": name, "input": {"city": city}}
            for place, city in enumerate(CITIES[:calls])
        ]

    def _end(self) -> bytes:
        """Return the events after the last block."""
        form = self._behaviour.form
        delta = {"stop_reason": self._stop_reason, "stop_sequence": None}
        usage: dict[str, Any] = {"output_tokens": len(self._words)}
        if form == "thinking":
            usage["output_tokens_details"] = {"thinking_tokens": len(THOUGHT)}
        if form == "usage-strings":
            usage = {"output_tokens": "several"}
        if form == "usage-later":
            # As the newer versions of the API do: cumulative, the prompt's counts with the rest.
            usage |= self._prompt_counts
        end = event("message_delta", delta=delta, usage=usage)
        return end if form == "unterminated" else end + event("message_stop")

    async def whole(self, pieces: AsyncIterator[bytes]) -> dict[str, Any]:
        """Return the answer as the one object of a request that does not stream, once it is written."""
        async for _ in pieces:
            pass
        calls = {"tools": 1, "two-tools": 2}.get(self._behaviour.form, 0)
        content = [{"type": "text", "text": "".join(self._words)}, *self._tool_blocks(calls)]
        usage = {**self._usage, "output_tokens": len(self._words)}
        return {**self._head(), "content": content, "stop_reason": self._stop_reason, "usage": usage}

    def _head(self) -> dict[str, Any]:
        return {
            "id": f"msg_{self._call}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "stop_reason": None,
            "stop_sequence": None,
        }
