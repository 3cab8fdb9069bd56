"""Events of a turn. The bytes a writer publishes are the frame a client receives.

A frame begins `{"seq":N,"type":"...` so that a relay reads both at fixed places, without parsing.
"""

from typing import Annotated, Literal, cast

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from parley_contracts.citations import Citation
from parley_contracts.errors import ErrorCode
from parley_contracts.model import WireModel
from parley_contracts.turns import Support, TokenUsage, TurnOutcome, TurnTimings

SEQ_AT = 7
"""Offset of the first digit of seq: len('{"seq":')."""

_TYPE_KEY = len(',"type":"')


class TurnEvent(WireModel):
    """What every event of a turn's log begins with."""

    seq: int = Field(description="epoch x 1,000,000 + i; grows strictly within a turn.")


class EpochOpening(TurnEvent):
    """The first event (i = 0) of an epoch says which event it comes after.

    A reader that has not got as far as `follows` has a hole before this event and replays.
    """

    follows: int = Field(ge=0, description="seq of the last event of the log that stands; 0 is none.")


class EpochStarted(EpochOpening):
    """A writer took the pen; viewers truncate the answer to `keep_chars` Unicode code points."""

    type: Literal["epoch_started"] = "epoch_started"
    turn_id: str
    keep_chars: int = Field(ge=0)


class StageChanged(TurnEvent):
    """The turn entered a stage: `gathering` (retrieval, memory, web) or `generating`."""

    type: Literal["stage_changed"] = "stage_changed"
    turn_id: str
    stage: Literal["gathering", "generating"]


class ContextReady(TurnEvent):
    """The prompt is assembled; `citations` are the passages the model was given."""

    type: Literal["context_ready"] = "context_ready"
    turn_id: str
    citations: tuple[Citation, ...] = ()
    degraded: tuple[str, ...] = Field(default=(), description="Parts that were away or late.")
    is_searched: bool = Field(default=False, description="There were documents, and they were searched.")


class TextDelta(TurnEvent):
    """More text of the answer."""

    type: Literal["text_delta"] = "text_delta"
    turn_id: str
    text: str


class GenerationFinished(TurnEvent):
    """The worker's end, for the runner; gateways do not relay it."""

    type: Literal["generation_finished"] = "generation_finished"
    turn_id: str
    text: str
    model: str
    usage: TokenUsage
    finish_reason: Literal["stop", "length", "cancelled", "error"]
    error_code: ErrorCode | None = None
    error_message: str | None = None
    degraded: tuple[str, ...] = ()


class TurnCompleted(EpochOpening):
    """Terminal: the answer is whole."""

    type: Literal["turn_completed"] = "turn_completed"
    turn_id: str
    conversation_id: str
    model: str | None
    usage: TokenUsage
    finish_reason: str
    citations: tuple[Citation, ...] = Field(description="Those the answer cites.")
    support: Support | None = Field(
        default=None,
        description="`cited`; `uncited`: the model was given passages and cites none of them;"
        " `nothing_found`: nothing was found to give it; None: nothing was searched.",
    )
    degraded: tuple[str, ...]
    timings: TurnTimings
    stored: Literal["yes", "pending", "off"]


class TurnFailed(EpochOpening):
    """Terminal: there is no whole answer."""

    type: Literal["turn_failed"] = "turn_failed"
    turn_id: str
    conversation_id: str
    code: ErrorCode
    message: str
    retryable: bool
    kept_chars: int | None = Field(
        default=None, description="As of `turn_cancelled`; what an older writer did not say is all."
    )


class TurnCancelled(EpochOpening):
    """Terminal: stopped by the user; what was written is kept."""

    type: Literal["turn_cancelled"] = "turn_cancelled"
    turn_id: str
    conversation_id: str
    kept_chars: int = Field(
        description="How many Unicode code points of the answer stay: a writer that did not hear of the end "
        "in time may have written more, which viewers cut off."
    )
    is_confirmed: bool = Field(
        default=True,
        description="Who worked on the turn obeyed the stop; False when nobody did so in time and the "
        "gateway ended the turn over their heads.",
    )


LogEvent = Annotated[
    EpochStarted
    | StageChanged
    | ContextReady
    | TextDelta
    | GenerationFinished
    | TurnCompleted
    | TurnFailed
    | TurnCancelled,
    Field(discriminator="type"),
]
LOG_EVENT: TypeAdapter[
    EpochStarted
    | StageChanged
    | ContextReady
    | TextDelta
    | GenerationFinished
    | TurnCompleted
    | TurnFailed
    | TurnCancelled
] = TypeAdapter(LogEvent, config=ConfigDict(hide_input_in_errors=True))


def known_event(frame: bytes) -> TurnEvent | None:
    """Return the event of a frame; None when its type is of a later version and is to be ignored.

    Raises:
        ValueError: The frame is no turn event, or one of a known type that is malformed.
    """
    try:
        return LOG_EVENT.validate_json(frame)
    except ValidationError as error:
        if error.errors(include_input=False)[0]["type"] == "union_tag_invalid":
            return None
        raise


LAST_SEQ = 2**53 - 1
"""Above the seq of every event; the greatest number that every reader of JSON holds exactly."""


class Sync(WireModel):
    """Sent in place of a log that has expired: the stored answer. Terminal; no event follows."""

    seq: int = Field(description="That of the terminal event; LAST_SEQ when it is not known any more.")
    type: Literal["sync"] = "sync"
    turn_id: str
    conversation_id: str
    outcome: TurnOutcome
    text: str
    citations: tuple[Citation, ...] = ()
    support: Support | None = Field(
        default=None, description="As of `turn_completed`; None also when it is not known any more."
    )


def encode_event(event: TurnEvent | Sync) -> bytes:
    """Return the event's frame: UTF-8 JSON that begins `{"seq":N,"type":"`."""
    body = event.model_dump(mode="json")
    return to_json({"seq": body.pop("seq"), "type": body.pop("type"), **body})


def text_delta_frame(turn_id_json: bytes, seq: int, text: str) -> bytes:
    """Return a `text_delta` frame without building a model: the hot path of a generation.

    Args:
        turn_id_json: The client's turn id, already JSON encoded with its quotes.
        seq: The event's seq.
        text: The text to append.
    """
    return b'{"seq":%d,"type":"text_delta","turn_id":%b,"text":%b}' % (seq, turn_id_json, to_json(text))


def frame_seq(frame: bytes) -> int:
    """Return a frame's seq; ValueError when it is no turn event."""
    return int(frame[SEQ_AT : frame.index(b",", SEQ_AT)])


def frame_type(frame: bytes) -> str:
    """Return a frame's type; ValueError when it is no turn event."""
    start = frame.index(b",", SEQ_AT) + _TYPE_KEY
    return frame[start : frame.index(b'"', start)].decode()


def frame_follows(frame: bytes) -> int:
    """Return the seq after which a frame comes that opens an epoch; ValueError when it is no turn event."""
    told: object = from_json(frame)
    follows = cast(dict[str, object], told).get("follows", 0) if isinstance(told, dict) else None
    if not isinstance(follows, int):
        raise ValueError("a frame that does not say what it follows")
    return follows


TERMINAL_TYPES = frozenset({"turn_completed", "turn_failed", "turn_cancelled"})
"""Types of the one event that ends a turn. It opens the epoch of the seal: seq = slot x EPOCH_SPAN."""
