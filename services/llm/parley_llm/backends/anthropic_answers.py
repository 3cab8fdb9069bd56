"""A streamed answer of Anthropic's Messages API, and its errors.

Sources: https://platform.claude.com/docs/en/build-with-claude/streaming and
https://platform.claude.com/docs/en/api/errors
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from parley_contracts.turns import TokenUsage
from pydantic_core import from_json

from parley_llm.backends.call_bounds import CallBounds
from parley_llm.backends.server_errors import FAILED, NO_QUOTA, TOO_LONG, Refusal, refusal_of
from parley_llm.backends.server_sent_events import EventReader
from parley_llm.backends.token_counts import count
from parley_llm.language_model import FinishReason, Piece, ReasoningChunk, TextChunk, ToolCallChunk

Json = Mapping[str, Any]

_NOTHING: Json = {}
_ENDINGS: Mapping[str, FinishReason] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_STATUS_OF: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The errors that come within a stream have a type, and no status."""

_TOO_LONG_SIGNS = ("prompt is too long", "exceed context limit", "exceeds the maximum")
_NO_QUOTA_SIGN = "credit balance"


class MessageDecoder:
    """Reads an answer of server-sent events, block by block; what it does not know is passed over."""

    def __init__(self, model: str) -> None:
        self.ending: FinishReason | None = None
        self.usage = TokenUsage()
        self._model = model
        self._events = EventReader()
        self._counts: dict[str, Any] = {}
        self._calls: dict[int, int] = {}
        self._bounds = CallBounds()

    def feed(self, received: bytes) -> Iterator[Piece | None]:
        return self._pieces(self._events.feed(received))

    def close(self) -> Iterator[Piece | None]:
        return self._pieces(self._events.close())

    def _pieces(self, events: Iterable[bytes]) -> Iterator[Piece | None]:
        for event in events:
            if not event:
                continue
            told = from_json(event)
            kind = told["type"]
            if kind == "content_block_delta":
                yield self._delta(told)
            elif kind == "content_block_start":
                # An empty block is nothing written yet: the message itself is begun at once.
                if (piece := self._block(told)) is not None:
                    yield piece
            elif kind == "message_start":
                self._count(told["message"].get("usage"))
            elif kind == "message_delta":
                self._count(told.get("usage"))
                if reason := told["delta"].get("stop_reason"):
                    self.ending = _ENDINGS.get(reason, "stop")
            elif kind == "error":
                raise _refusal(None, told).error(self._model)

    def _delta(self, told: Json) -> Piece | None:
        delta = told["delta"]
        kind = delta["type"]
        if kind == "text_delta":
            return TextChunk(delta["text"]) if delta["text"] else None
        if kind == "input_json_delta":
            index = self._calls.get(told["index"])
            arguments = self._bounds.add(delta["partial_json"])
            return ToolCallChunk(index, None, None, arguments) if index is not None and arguments else None
        if kind == "thinking_delta" and delta["thinking"]:
            return ReasoningChunk(delta["thinking"])
        return None

    def _block(self, told: Json) -> Piece | None:
        block = told["content_block"]
        if block["type"] == "tool_use":
            index = self._calls[told["index"]] = self._bounds.calls
            return ToolCallChunk(index, *self._bounds.begin(block["id"], block["name"]), "")
        text = block.get("text") if block["type"] == "text" else None
        return TextChunk(text) if text else None

    def _count(self, usage: object) -> None:
        """Take the counts of the message so far; a later one stands for an earlier one."""
        if not isinstance(usage, Mapping):
            return
        self._counts |= {key: value for key, value in cast(Json, usage).items() if value is not None}
        read, kept, other = (
            count(self._counts.get(name))
            for name in ("cache_read_input_tokens", "cache_creation_input_tokens", "input_tokens")
        )
        details = self._counts.get("output_tokens_details")
        thought = cast(Json, details).get("thinking_tokens") if isinstance(details, Mapping) else None
        self.usage = TokenUsage(
            prompt_tokens=read + kept + other,
            completion_tokens=count(self._counts.get("output_tokens")),
            cached_tokens=read,
            reasoning_tokens=count(thought),
        )


def anthropic_refusal(status: int, content: bytes) -> Refusal:
    """Return what an answer that is no 200 means."""
    try:
        return _refusal(status, from_json(content))
    except (ValueError, TypeError, LookupError, AttributeError):
        return refusal_of(status)


def _refusal(status: int | None, body: Json) -> Refusal:
    """Return what an error means; its words are read for two cases that have no type of their own."""
    error = body.get("error") or _NOTHING
    kind, message = str(error.get("type")), str(error.get("message"))
    if kind == "billing_error" or _NO_QUOTA_SIGN in message:
        return NO_QUOTA
    if kind == "invalid_request_error" and any(sign in message for sign in _TOO_LONG_SIGNS):
        return TOO_LONG
    found = _STATUS_OF.get(kind) if status is None else status
    return FAILED if found is None else refusal_of(found)
