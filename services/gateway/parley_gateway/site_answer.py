"""One turn as a visitor is told of it: in server-sent events, or whole. Ids of documents stay here."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from parley_contracts.citations import Citation
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

SILENT = b": the turn goes on\n\n"
"""A comment, which clients skip: proxies close what is silent for long."""
_PLAIN = frozenset(
    {
        ErrorCode.OVERLOADED,
        ErrorCode.RATE_LIMITED,
        ErrorCode.QUOTA_EXCEEDED,
        ErrorCode.TIMEOUT,
        ErrorCode.TOO_LARGE,
        ErrorCode.UNAVAILABLE,
    }
)


def for_visitors(error: ParleyError) -> ParleyError:
    """Return an error as visitors may see it: names of models, and whose they are, stay with the owner."""
    if error.code is ErrorCode.NOT_FOUND:
        message = "There is no such session; begin a new one."
        return ParleyError(ErrorCode.NOT_FOUND, message, field="session")
    code = error.code if error.code in _PLAIN else ErrorCode.UPSTREAM_FAILED
    return ParleyError(
        code,
        "The bot cannot answer this now.",
        retryable=error.retryable,
        retry_after_s=error.retry_after_s,
    )


def _failed(event: TurnFailed) -> ParleyError:
    return for_visitors(event.error)


def _sources(citations: Sequence[Citation]) -> list[dict[str, Any]]:
    """Return what an answer cites as visitors see it: the passage, and the name of its document."""
    kept = {"n", "text", "page", "end_page", "heading", "url"}
    return [
        {**one.model_dump(mode="json", include=kept, exclude_none=True), "name": one.document.name}
        for one in citations
    ]


class SiteAnswer:
    """Reads a turn to its end; `session` is what the visitor is told of his session."""

    def __init__(self, reader: AnswerReader, session: dict[str, Any]) -> None:
        self._reader = reader
        self._session = session
        self._text = ""
        self._sent = 0

    async def stream(self) -> AsyncGenerator[bytes]:
        """Yield the answer as server-sent events; the last says how the turn ended."""
        yield _event("session", **self._session)
        try:
            async for event in self._reader.events():
                if event is None:
                    yield SILENT
                    continue
                self._take(event)
                is_last = isinstance(event, Ending)
                if self._sent > len(self._text):
                    self._sent = len(self._text)
                    yield _event("epoch_started", keep_chars=self._sent)
                if self._sent < len(self._text) and (is_last or not self._reader.is_behind):
                    yield _event("text_delta", text=self._text[self._sent :])
                    self._sent = len(self._text)
                if is_last:
                    yield _last(event)
        except ParleyError as error:
            yield _event("turn_failed", **_body(for_visitors(error)))
        finally:
            await self._reader.release()

    def _take(self, event: object) -> None:
        if isinstance(event, TextDelta):
            self._text += event.text
        elif isinstance(event, EpochStarted):
            self._cut(event.keep_chars)
        elif isinstance(event, Sync):
            if not event.text.startswith(self._text[: self._sent]):
                self._sent = len(event.text) + 1
            self._text = event.text

    def _cut(self, keep_chars: int) -> None:
        self._text = self._text[:keep_chars]

    async def whole(self) -> dict[str, Any]:
        """Return the answer in one piece.

        Raises:
            ParleyError: The turn failed, or its end could not be read.
        """
        try:
            text, end = await self._reader.whole()
        except ParleyError as error:
            raise for_visitors(error) from error
        match end:
            case TurnFailed():
                raise _failed(end)
            case Sync(outcome=TurnOutcome.FAILED):
                raise for_visitors(ParleyError(ErrorCode.UPSTREAM_FAILED, ""))
            case TurnCancelled():
                return self._body(text, "cancelled", ())
            case Sync():
                return self._body(text, "stop", end.citations)
            case TurnCompleted():
                return self._body(text, end.finish_reason, end.citations)

    def _body(self, text: str, finish_reason: str, citations: Sequence[Citation]) -> dict[str, Any]:
        return {
            **self._session,
            "text": text,
            "finish_reason": finish_reason,
            "citations": _sources(citations),
        }


def _last(event: object) -> bytes:
    match event:
        case TurnCompleted():
            reason, citations = event.finish_reason, _sources(event.citations)
            return _event("turn_completed", finish_reason=reason, citations=citations)
        case Sync(outcome=TurnOutcome.COMPLETED):
            return _event("turn_completed", finish_reason="stop", citations=_sources(event.citations))
        case TurnFailed():
            return _event("turn_failed", **_body(_failed(event)))
        case Sync(outcome=TurnOutcome.FAILED):
            return _event("turn_failed", **_body(for_visitors(ParleyError(ErrorCode.UPSTREAM_FAILED, ""))))
        case _:
            return _event("turn_cancelled")


def _body(error: ParleyError) -> dict[str, Any]:
    return error.body().model_dump(mode="json", exclude_none=True)


def _event(kind: str, **fields: Any) -> bytes:
    return b"data: " + to_json({"type": kind, **fields}) + b"\n\n"
