"""One turn as OpenAI's clients are told of it: in server-sent chunks, or whole."""

import time
from collections.abc import AsyncGenerator
from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turn_events import (
    EpochStarted,
    Sync,
    TextDelta,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
)
from parley_contracts.turns import TurnOutcome
from pydantic_core import to_json

from parley_gateway.answer_reader import AnswerReader, Ending
from parley_gateway.completion_request import CompletionRequest
from parley_gateway.http_errors import openai_error
from parley_gateway.turn_door import AcceptedTurn

SILENCE_S = 10.0
KEEP_ALIVE = b": the turn goes on\n\n"
"""A comment, which clients skip: proxies close what is silent for long."""


class Completion:
    """A turn that is read to its end, and the shapes of OpenAI's protocol."""

    def __init__(self, request: CompletionRequest, turn: AcceptedTurn, reader: AnswerReader) -> None:
        self._request = request
        self._reader = reader
        self._id = f"chatcmpl-{turn.ref.client_turn_id}"
        self._created_s = turn.accepted_at_ms // 1000 or int(time.time())
        self._unsent: list[str] = []
        self._sent = 0
        self._said_s = time.monotonic()

    # -- streamed ----------------------------------------------------------------------------------

    async def stream(self) -> AsyncGenerator[bytes]:
        """Yield the answer as server-sent events, ended by `[DONE]`."""
        yield self._chunk({"role": "assistant", "content": ""})
        try:
            async for event in self._reader.events():
                if isinstance(event, TextDelta):
                    self._unsent.append(event.text)
                elif isinstance(event, EpochStarted):
                    self._cut(event.keep_chars)
                if self._unsent and (isinstance(event, Ending) or not self._reader.is_behind):
                    yield self._text_chunk()
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

    def _cut(self, keep_chars: int) -> None:
        """Take back what was written beyond `keep_chars`, as far as the client has not received it."""
        if keep_chars < self._sent:
            raise ParleyError(ErrorCode.UPSTREAM_FAILED, "The answer was begun anew; ask again.")
        kept = "".join(self._unsent)[: keep_chars - self._sent]
        self._unsent = [kept] if kept else []

    def _was_silent(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._said_s < SILENCE_S:
            return False
        self._said_s = now_s
        return True

    def _text_chunk(self) -> bytes:
        self._said_s = time.monotonic()
        text = "".join(self._unsent)
        self._unsent.clear()
        self._sent += len(text)
        return self._chunk({"content": text})

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
                rest = self._chunk({"content": event.text[self._sent :]})
                return [rest, self._chunk({}, "stop", **_sources(event))]
            case TurnCompleted():
                end = self._chunk({}, _finish(event.finish_reason), **_sources(event))
                options = self._request.stream_options
                return [end, self._usage_chunk(event)] if options and options.include_usage else [end]

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created_s, "model": self._request.model}

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None, **extra: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _data({**self._envelope("chat.completion.chunk"), "choices": [choice], **extra})

    def _usage_chunk(self, event: TurnCompleted) -> bytes:
        return _data({**self._envelope("chat.completion.chunk"), "choices": [], "usage": _usage(event)})

    # -- whole -------------------------------------------------------------------------------------

    async def whole(self) -> dict[str, Any]:
        """Return the answer in one piece.

        Raises:
            ParleyError: The turn failed, or its end could not be read.
        """
        text, end = await self._reader.whole()
        if isinstance(end, TurnFailed):
            raise end.error
        return self._body(text, end)

    def _body(self, text: str, event: TurnCompleted | TurnCancelled | Sync) -> dict[str, Any]:
        if isinstance(event, Sync) and event.outcome is TurnOutcome.FAILED:
            raise ParleyError(ErrorCode.UPSTREAM_FAILED, "The turn failed.")
        completed = event if isinstance(event, TurnCompleted) else None
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": None,
            "finish_reason": _finish(completed.finish_reason) if completed else "stop",
        }
        body: dict[str, Any] = {**self._envelope("chat.completion"), "choices": [choice]}
        if completed:
            body["usage"] = _usage(completed)
        if not isinstance(event, TurnCancelled):
            body.update(_sources(event))
        return body


def _data(body: dict[str, Any]) -> bytes:
    return b"data: " + to_json(body) + b"\n\n"


def _finish(reason: str) -> str:
    return "length" if reason == "length" else "stop"


def _usage(event: TurnCompleted) -> dict[str, int]:
    usage = event.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _sources(event: TurnCompleted | Sync) -> dict[str, Any]:
    """Return our own fields: what the answer cites, and what it rests on."""
    citations = [citation.model_dump(mode="json", exclude_none=True) for citation in event.citations]
    return {"citations": citations, "support": event.support}
