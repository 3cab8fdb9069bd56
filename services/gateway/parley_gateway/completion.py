"""One turn as OpenAI's clients are told of it: in server-sent chunks, or whole."""

import time
from collections.abc import AsyncGenerator
from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.tools import ToolCall
from parley_contracts.turn_events import (
    EpochStarted,
    ReasoningDelta,
    Sync,
    TextDelta,
    ToolCallDelta,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
)
from parley_contracts.turns import TokenUsage, TurnOutcome
from pydantic_core import to_json

from parley_gateway.answer_reader import AnswerReader, Ending
from parley_gateway.completion_deltas import UntoldDeltas
from parley_gateway.completion_request import CompletionRequest
from parley_gateway.folded_answer import FoldedAnswer
from parley_gateway.http_errors import openai_error
from parley_gateway.turn_door import AcceptedTurn

SILENCE_S = 10.0
KEEP_ALIVE = b": the turn goes on\n\n"
"""A comment, which clients skip: proxies close what is silent for long."""
_FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})


class Completion:
    """A turn that is read to its end, and the shapes of OpenAI's protocol."""

    def __init__(self, request: CompletionRequest, turn: AcceptedTurn, reader: AnswerReader) -> None:
        self._request = request
        self._model = request.model
        self._reader = reader
        self._id = f"chatcmpl-{turn.ref.client_turn_id}"
        self._created_s = turn.accepted_at_ms // 1000 or int(time.time())
        self._untold = UntoldDeltas()
        self._tells_usage = bool(request.stream_options and request.stream_options.include_usage)
        self._said_s = time.monotonic()

    # -- streamed ----------------------------------------------------------------------------------

    async def stream(self) -> AsyncGenerator[bytes]:
        """Yield the answer as server-sent events, ended by `[DONE]`."""
        yield self._chunk({"role": "assistant", "content": ""})
        try:
            async for event in self._reader.events():
                if isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta):
                    self._untold.add(event)
                elif isinstance(event, EpochStarted):
                    self._untold.cut(event)
                if self._untold and (isinstance(event, Ending) or not self._reader.is_behind):
                    self._said_s = time.monotonic()
                    for delta, logprobs in self._untold.tell():
                        yield self._chunk(delta, logprobs=_logprobs(logprobs))
                if event is None and self._was_silent():
                    yield KEEP_ALIVE
                elif isinstance(event, Ending):
                    for line in self._last_lines(event):
                        yield line
        except ParleyError as error:
            yield _data(openai_error(error.body()))
        finally:
            await self._reader.release()
        yield b"data: [DONE]\n\n"

    def _was_silent(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._said_s < SILENCE_S:
            return False
        self._said_s = now_s
        return True

    def _last_lines(self, event: Ending) -> list[bytes]:
        match event:
            case TurnFailed():
                return [_data(openai_error(event.error.body()))]
            case TurnCancelled():
                return [self._chunk({}, "stop")]
            case Sync(outcome=TurnOutcome.FAILED):
                fault = ParleyError(ErrorCode.UPSTREAM_FAILED, "The turn failed.")
                return [_data(openai_error(fault.body()))]
            case Sync():
                rest = self._chunk({"content": event.text[self._untold.told_chars :]})
                return [rest, self._chunk({}, "stop", **sources(event))]
            case TurnCompleted():
                self._note_model(event)
                end = self._chunk({}, _finish(event.finish_reason), **sources(event))
                return [end, self._usage_chunk(event)] if self._tells_usage else [end]

    def _note_model(self, event: TurnCompleted | None) -> None:
        """Tell who has answered, where several were named; which model a bot has stays with its owner."""
        if self._request.models and event is not None and event.model is not None:
            self._model = event.model

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created_s, "model": self._model}

    def _chunk(
        self,
        delta: dict[str, Any],
        finish_reason: str | None = None,
        *,
        logprobs: dict[str, Any] | None = None,
        **extra: Any,
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        if self._tells_usage:
            extra["usage"] = None
        return _data({**self._envelope("chat.completion.chunk"), "choices": [choice], **extra})

    def _usage_chunk(self, event: TurnCompleted) -> bytes:
        return _data({**self._envelope("chat.completion.chunk"), "choices": [], "usage": _usage(event.usage)})

    # -- whole -------------------------------------------------------------------------------------

    async def whole(self) -> dict[str, Any]:
        """Return the answer in one piece.

        Raises:
            ParleyError: The turn failed, or its end could not be read.
        """
        answer, end = FoldedAnswer(), None
        try:
            async for event in self._reader.events():
                answer.take(event)
                end = event if isinstance(event, Ending) else None
        finally:
            await self._reader.release()
        match end:
            case TurnFailed():
                raise end.error
            case Sync(outcome=TurnOutcome.FAILED):
                raise ParleyError(ErrorCode.UPSTREAM_FAILED, "The turn failed.")
            case None:
                raise ParleyError(ErrorCode.INTERNAL, "The turn ended without an answer.")
            case _:
                return self._body(answer, end)

    def _body(self, answer: FoldedAnswer, event: TurnCompleted | TurnCancelled | Sync) -> dict[str, Any]:
        completed = event if isinstance(event, TurnCompleted) else None
        calls = completed.tool_calls if completed else ()
        self._note_model(completed)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if calls and not answer.text else answer.text,
            "refusal": None,
        }
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if calls:
            message["tool_calls"] = [_call(call) for call in calls]
        choice: dict[str, Any] = {
            "index": 0,
            "message": message,
            "logprobs": _logprobs(answer.logprobs),
            "finish_reason": _finish(completed.finish_reason) if completed else "stop",
        }
        body: dict[str, Any] = {**self._envelope("chat.completion"), "choices": [choice]}
        if completed:
            body["usage"] = _usage(completed.usage)
        if not isinstance(event, TurnCancelled):
            body.update(sources(event))
        return body


def _data(body: dict[str, Any]) -> bytes:
    return b"data: " + to_json(body) + b"\n\n"


def _finish(reason: str) -> str:
    return reason if reason in _FINISH_REASONS else "stop"


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _logprobs(entries: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    return {"content": entries, "refusal": None} if entries else None


def _usage(usage: TokenUsage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def sources(event: TurnCompleted | Sync) -> dict[str, Any]:
    """Return our own fields: what the answer cites, and what it rests on."""
    citations = [citation.model_dump(mode="json", exclude_none=True) for citation in event.citations]
    return {"citations": citations, "support": event.support}
