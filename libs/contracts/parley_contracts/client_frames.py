"""What a WebSocket client sends and what the gateway itself answers; turn events are in `turn_events`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from parley_contracts.attachments import MAX_ATTACHMENTS, AttachmentId
from parley_contracts.bots import BotId
from parley_contracts.errors import ErrorCode
from parley_contracts.model import WireModel
from parley_contracts.rag import CollectionName
from parley_contracts.tools import ToolName
from parley_contracts.turns import MAX_MODELS, GenerationParams

MAX_TEXT_CHARS = 100_000
MAX_TURN_ID_CHARS = 128
MAX_NAMED = 64
ModelId = Annotated[str, Field(min_length=1, max_length=200)]
ClientTurnId = Annotated[
    str, Field(min_length=1, max_length=MAX_TURN_ID_CHARS, pattern=r"^[A-Za-z0-9_.:-]+$")
]


class ClientFrame(BaseModel):
    """A frame from a client; unknown fields are ignored so that old gateways serve newer clients."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class StartTurnFrame(ClientFrame):
    """Ask something. The same `turn_id` again is the same turn."""

    type: Literal["start_turn"]
    turn_id: ClientTurnId | None = None
    conversation_id: str | None = Field(default=None, max_length=128)
    bot_id: BotId | None = Field(
        default=None, description="A bot of yours, or of a group of yours; it says the rest but for the text."
    )
    text: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)
    attachments: tuple[AttachmentId, ...] = Field(
        default=(),
        max_length=MAX_ATTACHMENTS,
        description="Ids of `POST /api/attachments`: images and texts.",
    )
    collections: tuple[CollectionName, ...] | None = Field(default=None, max_length=64)
    web: bool = False
    tools: tuple[ToolName, ...] = Field(
        default=(), max_length=MAX_NAMED, description="Tools that Parley runs, which the model may call."
    )
    model: str | None = Field(default=None, max_length=200)
    models: tuple[ModelId, ...] = Field(
        default=(), max_length=MAX_MODELS, description="Asked in this order where `model` does not answer."
    )
    params: GenerationParams = GenerationParams()
    cache: bool = Field(
        default=False,
        description="The answer may be one of yours from before, if `params` are deterministic.",
    )


class CancelTurnFrame(ClientFrame):
    """Stop a turn."""

    type: Literal["cancel_turn"]
    turn_id: ClientTurnId


class ResumeTurnFrame(ClientFrame):
    """Receive every event of a turn after `after_seq`, and those to come."""

    type: Literal["resume_turn"]
    turn_id: ClientTurnId
    after_seq: int = Field(default=0, ge=0)


class PingFrame(ClientFrame):
    """Ask for a pong."""

    type: Literal["ping"]


AnyClientFrame = Annotated[
    StartTurnFrame | CancelTurnFrame | ResumeTurnFrame | PingFrame, Field(discriminator="type")
]
CLIENT_FRAME: TypeAdapter[StartTurnFrame | CancelTurnFrame | ResumeTurnFrame | PingFrame] = TypeAdapter(
    AnyClientFrame, config=ConfigDict(hide_input_in_errors=True)
)


class TurnAccepted(WireModel):
    """The turn is durable: from here on it ends in exactly one terminal event."""

    type: Literal["turn_accepted"] = "turn_accepted"
    turn_id: str
    conversation_id: str


class CancelAccepted(WireModel):
    """The stop is stored; the terminal event follows."""

    type: Literal["cancel_accepted"] = "cancel_accepted"
    turn_id: str


class ErrorFrame(WireModel):
    """Something asked on this socket was refused."""

    type: Literal["error"] = "error"
    turn_id: str | None = None
    code: ErrorCode
    message: str
    retryable: bool
    field: str | None = None
    retry_after_s: int | None = Field(
        default=None, ge=1, description="When to ask again, where that can be told; an estimate."
    )


class QueuePosition(WireModel):
    """A turn waits; it carries no `seq`, for it is no part of the turn's log.

    On the bus it is a core message on `turn.queue.<home>.<turn_id>`, whose bytes are the client's frame.
    """

    type: Literal["queue_position"] = "queue_position"
    turn_id: str
    position: int = Field(ge=1, description="1 is next.")
    waits_for: Literal["runner", "model"]
    after_seq: int = Field(
        ge=0, description="The turn's last event before it began to wait; a later one ends the wait."
    )


class Pong(WireModel):
    """The answer to `ping`."""

    type: Literal["pong"] = "pong"
