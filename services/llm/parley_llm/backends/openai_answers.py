"""A streamed answer of an OpenAI-compatible server, and the errors in it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from parley_contracts.turns import TokenUsage
from pydantic_core import from_json

from parley_llm.backends.server_errors import FAILED, NO_QUOTA, TOO_LONG, Refusal, refusal_of
from parley_llm.backends.server_sent_events import EventReader
from parley_llm.backends.token_counts import token_usage
from parley_llm.backends.told_logprobs import told_logprobs
from parley_llm.backends.tool_call_pieces import ToolCallPieces
from parley_llm.language_model import FinishReason, Piece, ReasoningChunk, TextChunk

Json = Mapping[str, Any]

_NOTHING: Json = {}
_DONE = b"[DONE]"
_BY_CODE: Mapping[str, Refusal] = {
    "insufficient_quota": NO_QUOTA,
    "context_length_exceeded": TOO_LONG,
    "exceed_context_size_error": TOO_LONG,
}
_TOO_LONG_SIGN = "maximum context length"
"""What vLLM and SGLang say, whose errors have no code of their own."""


class CompletionDecoder:
    """Reads an answer of server-sent events. The usage may follow the finish reason, in an event of its own.

    Some servers tell no finish reason: what is written then ends by `[DONE]`, but never by silence. What a
    model says in refusal is the answer, which its finish reason then tells from one that was asked for.
    """

    def __init__(self, model: str) -> None:
        self.ending: FinishReason | None = None
        self.usage = TokenUsage()
        self._model = model
        self._has_written = False
        self._has_refused = False
        self._calls = ToolCallPieces()
        self._events = EventReader()

    def feed(self, received: bytes) -> Iterator[Piece | None]:
        return self._pieces(self._events.feed(received))

    def close(self) -> Iterator[Piece | None]:
        return self._pieces(self._events.close())

    def _pieces(self, events: Iterable[bytes]) -> Iterator[Piece | None]:
        for event in events:
            if event == _DONE:
                if self._has_written and self.ending is None:
                    self._finish("stop")
                continue
            if not event:
                continue
            chunk = from_json(event)
            if chunk.get("error"):
                raise _refusal(None, chunk).error(self._model)
            if usage := chunk.get("usage"):
                self._count(usage)
            if choices := chunk.get("choices"):
                choice = choices[0]
                if delta := choice.get("delta"):
                    yield from self._said(delta, choice)
                if reason := choice.get("finish_reason"):
                    self._finish(reason)

    def _said(self, delta: Json, choice: Json) -> Iterator[Piece | None]:
        """Yield what one delta holds. vLLM and others name reasoning in two ways."""
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            yield ReasoningChunk(thought) if isinstance(thought, str) else None
        if text := delta.get("content"):
            if not isinstance(text, str):
                raise TypeError("content is not text")
            self._has_written = True
            weighed = choice.get("logprobs")
            yield TextChunk(text, told_logprobs(weighed.get("content"))) if weighed else TextChunk(text)
        if calls := delta.get("tool_calls"):
            self._has_written = True
            yield from self._calls.read(calls)
        if refusal := delta.get("refusal"):
            self._has_written = self._has_refused = True
            yield TextChunk(str(refusal))

    def _count(self, usage: object) -> None:
        if isinstance(usage, Mapping):
            counts = cast(Json, usage)
            self.usage = token_usage(
                counts.get("prompt_tokens"),
                counts.get("completion_tokens"),
                cached=_detail(counts, "prompt_tokens_details", "cached_tokens"),
                reasoning=_detail(counts, "completion_tokens_details", "reasoning_tokens"),
            )

    def _finish(self, reason: object) -> None:
        if reason == "error":
            raise FAILED.error(self._model)
        if self._has_refused or reason == "content_filter":
            self.ending = "content_filter"
        elif reason == "length":
            self.ending = "length"
        else:
            # Where one tool was named, and with some servers always, calls end by "stop".
            self.ending = "tool_calls" if self._calls.are_there else "stop"


def _detail(usage: Json, kind: str, name: str) -> object:
    details: object = usage.get(kind)
    return cast(Json, details).get(name) if isinstance(details, Mapping) else None


def openai_refusal(status: int, content: bytes) -> Refusal:
    """Return what an answer that is no 200 means; an error's code tells more than the status."""
    try:
        return _refusal(status, from_json(content))
    except (ValueError, TypeError, LookupError, AttributeError):
        return refusal_of(status)


def _refusal(status: int | None, body: Json) -> Refusal:
    """Return what an error in OpenAI's shape means, in a stream as well, where its code may be a status."""
    # vLLM's errors have had no envelope.
    found: Any = body.get("error") or body
    error = cast(Json, found) if isinstance(found, Mapping) else _NOTHING
    code: object = error.get("code")
    for name in (code, error.get("type")):
        if isinstance(name, str) and name in _BY_CODE:
            return _BY_CODE[name]
    if _TOO_LONG_SIGN in str(error.get("message")):
        return TOO_LONG
    return refusal_of(code if status is None and isinstance(code, int) else status)
