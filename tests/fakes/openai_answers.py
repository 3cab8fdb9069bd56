"""The events that the fake OpenAI-compatible server answers in, and its refusals."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from tests.fakes.openai_forms import EVENT_FORMS, shown_usage
from tests.fakes.scripted_answers import Behaviour, remaining_words, scripted_words

CREATED_AT_S = 1_735_689_600
DONE = b"data: [DONE]\n\n"
RETRY_AFTER_S = 7
USAGE_LATER_S = 0.05
REFUSALS: dict[str, tuple[int, str, str | None]] = {
    "error400": (400, "invalid option provided: temperature", "unsupported_value"),
    "too_long": (400, "This model's maximum context length is 2048 tokens.", "context_length_exceeded"),
    "error401": (401, "Incorrect API key provided: sk-fake-key.", "invalid_api_key"),
    "error429": (429, "Rate limit reached for requests.", "rate_limit_exceeded"),
    "quota429": (429, "You exceeded your current quota.", "insufficient_quota"),
    "error500": (500, "CUDA out of memory.", None),
    "error503": (503, "Loading model", "unavailable_error"),
    "error529": (529, "The provider behind this proxy is busy.", None),
}
_LAST_EVENTS = {
    "malformed": b"data: {not json\n\n",
    "failing": b'data: {"error": {"message": "CUDA out of memory.", "code": 500}}\n\n',
    "failing429": b'data: {"error": {"message": "Rate limit reached.", "code": 429}}\n\ndata: [DONE]\n\n',
    "failing_quota": b'data: {"error": {"message": "Quota.", "code": "insufficient_quota"}}\n\n',
}


def error_body(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """Return an error as OpenAI words it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def prefix_of(body: dict[str, Any]) -> str:
    """Return the text to go on from: the assistant's last message, when vLLM's two fields ask for it."""
    messages: list[dict[str, str]] = body.get("messages") or []
    is_continued = body.get("continue_final_message") is True and body.get("add_generation_prompt") is False
    if is_continued and messages and messages[-1]["role"] == "assistant":
        return messages[-1]["content"]
    return ""


class ScriptedCompletion:
    """One answer: its words, and the events or the object that they travel in."""

    def __init__(self, body: dict[str, Any], behaviour: Behaviour, call: int) -> None:
        self._behaviour = behaviour
        self._model = str(body["model"])
        self._id = f"chatcmpl-{call}"
        words = remaining_words(behaviour, prefix_of(body), call)
        limit: int | None = body.get("max_completion_tokens") or body.get("max_tokens")
        self._finish_reason = "length" if limit is not None and limit < len(words) else "stop"
        if behaviour.form == "filtered":
            self._finish_reason = "content_filter"
        self._words = words[:limit]
        options: dict[str, Any] = body.get("stream_options") or {}
        self._tells_usage = bool(options.get("include_usage"))
        messages: list[dict[str, str]] = body.get("messages") or []
        prompt = " ".join(message["content"] for message in messages)
        tokens = len(prompt.split())
        self._usage = {
            "prompt_tokens": tokens,
            "completion_tokens": len(self._words),
            "total_tokens": tokens + len(self._words),
        }

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the events of the answer in the form of its model."""
        write = EVENT_FORMS.get(self._behaviour.form)
        async for piece in self._plain_events():
            yield piece if write is None else write(piece)

    async def _plain_events(self) -> AsyncIterator[bytes]:
        """Yield the server-sent events of the answer, one piece a word; the role comes with the first."""
        opening, closing = self._around_content()
        # The text of a word stands in an envelope that is encoded once an answer: the fake is to cost little.
        head = self._event(
            [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
        )
        async for word in scripted_words(self._behaviour, self._words):
            yield b"%b%b%b%b" % (head, opening, word.encode(), closing)
            head = b""
        if self._behaviour.fault:
            if self._behaviour.fault in _LAST_EVENTS:
                yield _LAST_EVENTS[self._behaviour.fault]
            return
        end = head + self._end()
        if self._behaviour.form == "usage-later":
            finish, mark, end = end.partition(b"\n\n")
            yield finish + mark
            await asyncio.sleep(USAGE_LATER_S)
        yield end

    def _end(self) -> bytes:
        """Return the events after the last word."""
        form = self._behaviour.form
        finish = [_choice({}, self._finish_reason)]
        if form == "usage-with-finish":
            return self._event(finish, usage=self._usage) + DONE
        if form == "unterminated":
            return self._event(finish).rstrip()
        end = b"" if form in {"done-alone", "nothing-but-done"} else self._event(finish)
        usage = shown_usage(form, self._usage)
        if self._tells_usage and usage is not None:
            end += self._event([], **usage)
        return end if form == "without-done" else end + DONE

    async def whole(self, pieces: AsyncIterator[bytes]) -> dict[str, Any]:
        """Return the answer as the one object of a request that does not stream, once it is written."""
        async for _ in pieces:
            pass
        message = {"role": "assistant", "content": "".join(self._words)}
        choice = {"index": 0, "message": message, "finish_reason": self._finish_reason}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self._usage}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": CREATED_AT_S, "model": self._model}

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        chunk = {**self._head("chat.completion.chunk"), "choices": choices, **more}
        return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"

    def _around_content(self) -> tuple[bytes, bytes]:
        mark = "\N{REPLACEMENT CHARACTER}"
        event = self._event([_choice({"content": mark})])
        opening, _, closing = event.partition(json.dumps(mark).strip('"').encode())
        return opening, closing


def _choice(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}
