"""What a turn's events add up to: the answer so far, its sources, its end."""

from dataclasses import dataclass, field
from typing import Any

from parley_contracts.citations import Citation
from parley_contracts.client_frames import CancelAccepted, ErrorFrame, Pong, QueuePosition, TurnAccepted
from parley_contracts.turn_events import (
    LOG_EVENT,
    ContextReady,
    EpochStarted,
    Sync,
    TextDelta,
    TurnCancelled,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
)
from parley_contracts.turns import Support, TurnOutcome
from pydantic import TypeAdapter
from pydantic_core import from_json

ServerFrame = TurnEvent | Sync | TurnAccepted | CancelAccepted | QueuePosition | ErrorFrame | Pong
_ANSWERS: dict[str, TypeAdapter[Any]] = {
    "turn_accepted": TypeAdapter(TurnAccepted),
    "cancel_accepted": TypeAdapter(CancelAccepted),
    "queue_position": TypeAdapter(QueuePosition),
    "error": TypeAdapter(ErrorFrame),
    "pong": TypeAdapter(Pong),
    "sync": TypeAdapter(Sync),
}
_EVENT_TYPES = frozenset(
    {
        "epoch_started",
        "stage_changed",
        "context_ready",
        "text_delta",
        "reasoning_delta",
        "tool_call_delta",
        "tool_called",
        "tool_finished",
        "turn_completed",
        "turn_failed",
        "turn_cancelled",
    }
)


def parse_frame(data: str | bytes) -> ServerFrame | None:
    """Return a server frame; None for a type this version does not know."""
    raw: dict[str, Any] = from_json(data)
    kind = str(raw.get("type"))
    if kind in _EVENT_TYPES:
        return LOG_EVENT.validate_python(raw)
    adapter = _ANSWERS.get(kind)
    return adapter.validate_python(raw) if adapter else None


@dataclass
class Answer:
    """A turn as far as it has been heard."""

    turn_id: str
    conversation_id: str | None = None
    text: str = ""
    given: tuple[Citation, ...] = ()
    end: TurnCompleted | TurnFailed | TurnCancelled | Sync | None = None
    refusal: ErrorFrame | None = None
    degraded: tuple[str, ...] = field(default=())

    @property
    def is_over(self) -> bool:
        """Whether no more events follow."""
        return self.end is not None or self.refusal is not None

    @property
    def citations(self) -> tuple[Citation, ...]:
        """The passages the answer cites; while it is written, those it refers to so far."""
        if isinstance(self.end, TurnCompleted | Sync):
            return self.end.citations
        return tuple(citation for citation in self.given if f"[{citation.n}]" in self.text)

    @property
    def support(self) -> Support | None:
        """What the whole answer rests on; None when nothing was searched, or that is not known."""
        return self.end.support if isinstance(self.end, TurnCompleted | Sync) else None

    @property
    def outcome(self) -> TurnOutcome | None:
        """How the turn ended, None while it has not."""
        match self.end:
            case TurnCompleted():
                return TurnOutcome.COMPLETED
            case TurnCancelled():
                return TurnOutcome.CANCELLED
            case Sync():
                return self.end.outcome
            case TurnFailed():
                return TurnOutcome.FAILED
            case None:
                return TurnOutcome.FAILED if self.refusal else None

    @property
    def failure(self) -> str | None:
        """Why there is no whole answer, for people."""
        if self.refusal is not None:
            return self.refusal.message
        return self.end.message if isinstance(self.end, TurnFailed) else None

    def apply(self, frame: ServerFrame) -> None:
        """Add one frame; text is counted in Unicode code points, as `keep_chars` is."""
        match frame:
            case TurnAccepted():
                self.conversation_id = frame.conversation_id
            case EpochStarted():
                self.text = self.text[: frame.keep_chars]
            case ContextReady():
                self.given, self.degraded = frame.citations, frame.degraded
            case TextDelta():
                self.text += frame.text
            case Sync():
                self.text, self.end = frame.text, frame
                self.conversation_id = frame.conversation_id
            case TurnCompleted() | TurnFailed() | TurnCancelled():
                self.end = frame
                self.conversation_id = frame.conversation_id
                if isinstance(frame, TurnCompleted):
                    self.degraded = frame.degraded
            case ErrorFrame():
                self.refusal = frame
            case _:
                pass

    def as_json(self) -> dict[str, Any]:
        """Return the answer for programs."""
        end = self.end.model_dump(mode="json") if self.end else {}
        shown = (
            "model",
            "usage",
            "finish_reason",
            "degraded",
            "timings",
            "stored",
            "support",
            "code",
            "message",
        )
        refused = self.refusal.model_dump(mode="json") if self.refusal else {}
        return {
            "turn_id": self.turn_id,
            "conversation_id": self.conversation_id,
            "outcome": self.outcome,
            "text": self.text,
            "citations": [citation.model_dump(mode="json") for citation in self.citations],
            **{name: value for name, value in {**end, **refused}.items() if name in shown},
        }
