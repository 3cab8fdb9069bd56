"""One turn as a response of OpenAI's: in events, or whole.

Source: https://platform.openai.com/docs/api-reference/responses
"""

import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError
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
from parley_contracts.turns import TurnOutcome
from pydantic_core import to_json

from parley_gateway.answer_reader import AnswerReader, Ending
from parley_gateway.completion import KEEP_ALIVE, SILENCE_S, sources
from parley_gateway.completion_deltas import UntoldDeltas
from parley_gateway.response_output import Event, ResponseOutput
from parley_gateway.responses_request import ResponsesRequest
from parley_gateway.turn_door import AcceptedTurn

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_FAULTS = {ErrorCode.RATE_LIMITED: "rate_limit_exceeded", ErrorCode.OVERLOADED: "rate_limit_exceeded"}


class ResponseAnswer:
    """A turn that is read to its end, and the shapes of OpenAI's protocol."""

    def __init__(self, request: ResponsesRequest, turn: AcceptedTurn, reader: AnswerReader) -> None:
        turn_id = turn.ref.client_turn_id
        self._request = request
        self._reader = reader
        self._id = f"resp_{turn_id}"
        self._created_s = turn.accepted_at_ms // 1000 or int(time.time())
        self._untold = UntoldDeltas()
        self._output = ResponseOutput(turn_id)
        self._sequence = 0
        self._said_s = time.monotonic()

    async def stream(self) -> AsyncGenerator[bytes]:
        """Yield the response as server-sent events."""
        for kind in ("response.created", "response.in_progress"):
            yield self._event(kind, {"response": self._body("in_progress")})
        try:
            async for event in self._reader.events():
                self._take(event)
                if isinstance(event, Ending) or not self._reader.is_behind:
                    for told in self._tell():
                        yield self._event(*told)
                if event is None and time.monotonic() - self._said_s >= SILENCE_S:
                    self._said_s = time.monotonic()
                    yield KEEP_ALIVE
                elif isinstance(event, Ending):
                    for told in self._last(event):
                        yield self._event(*told)
        except ParleyError as error:
            for told in self._failed(error):
                yield self._event(*told)
        finally:
            await self._reader.release()

    async def whole(self) -> dict[str, Any]:
        """Return the response in one piece.

        Raises:
            ParleyError: The turn failed, or its end could not be read.
        """
        last: Event | None = None
        try:
            async for event in self._reader.events():
                self._take(event)
                if isinstance(event, Ending):
                    *_, last = [*self._tell(), *self._last(event, is_raised=True)]
        finally:
            await self._reader.release()
        if last is None:
            raise ParleyError(ErrorCode.INTERNAL, "The turn ended without an answer.")
        return last[1]["response"]

    def _take(self, event: object) -> None:
        if isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta):
            self._untold.add(event)
        elif isinstance(event, EpochStarted):
            self._untold.cut(event)

    def _tell(self) -> Iterator[Event]:
        for delta, logprobs in self._untold.tell():
            yield from self._output.take(delta, logprobs)

    def _last(self, event: Ending, *, is_raised: bool = False) -> Iterator[Event]:
        """Yield what ends the response; a failure is raised where nothing was told yet."""
        match event:
            case TurnFailed() | Sync(outcome=TurnOutcome.FAILED):
                error = ParleyError(ErrorCode.UPSTREAM_FAILED, "The turn failed.")
                if isinstance(event, TurnFailed):
                    error = event.error
                if is_raised:
                    raise error
                yield from self._failed(error)
            case Sync():
                yield from self._output.take({"content": event.text[self._untold.told_chars :]})
                yield from self._ended("completed", **sources(event))
            case TurnCancelled():
                yield from self._ended("incomplete")
            case TurnCompleted():
                reason = _INCOMPLETE.get(event.finish_reason)
                more: dict[str, Any] = {"usage": _usage(event), **sources(event)}
                if reason is not None:
                    more["incomplete_details"] = {"reason": reason}
                yield from self._ended("incomplete" if reason else "completed", **more)

    def _ended(self, status: str, **more: Any) -> Iterator[Event]:
        yield from self._output.close(status)
        yield f"response.{status}", {"response": {**self._body(status), **more}}

    def _failed(self, error: ParleyError) -> Iterator[Event]:
        yield from self._output.close("incomplete")
        fault = {"code": _FAULTS.get(error.code, "server_error"), "message": error.message}
        yield "response.failed", {"response": {**self._body("failed"), "error": fault}}

    def _event(self, kind: str, fields: dict[str, Any]) -> bytes:
        self._said_s = time.monotonic()
        data = to_json({"type": kind, "sequence_number": self._sequence, **fields})
        self._sequence += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)

    def _body(self, status: str) -> dict[str, Any]:
        request = self._request
        reasoning, text = request.reasoning, request.text
        given = request.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created_s,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "metadata": request.metadata or {},
            "model": request.model,
            "output": self._output.body("incomplete" if status == "failed" else status),
            "parallel_tool_calls": request.parallel_tool_calls is not False,
            "previous_response_id": None,
            "reasoning": {"effort": reasoning and reasoning.effort, "summary": None},
            "store": bool(request.store),
            "temperature": request.temperature,
            "text": given["text"] if text and text.format else {"format": {"type": "text"}},
            "tool_choice": given.get("tool_choice", "auto"),
            "tools": given.get("tools", []),
            "top_p": request.top_p,
            "truncation": "disabled",
            "usage": None,
        }


def _usage(event: TurnCompleted) -> dict[str, Any]:
    usage = event.usage
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
