"""How another team's service, which may store nothing itself, has a turn started."""

from typing import Literal

from pydantic import Field

from parley_contracts.client_frames import MAX_NAMED, MAX_TEXT_CHARS, ClientTurnId
from parley_contracts.model import OwnedRequest, WireModel
from parley_contracts.rag import CollectionName
from parley_contracts.tools import ToolName
from parley_contracts.turns import GenerationParams, TurnRef


class SubmitTurn(OwnedRequest):
    """Request on `turn.submit.<user>`: start a turn whose events go to `turn.events.<user>.<turn_id>`.

    The same `turn_id` of the same owner again is the same turn.
    """

    type: Literal["submit_turn"] = "submit_turn"
    turn_id: ClientTurnId | None = None
    conversation_id: str | None = Field(default=None, max_length=128)
    text: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)
    collections: tuple[CollectionName, ...] | None = Field(default=None, max_length=64)
    web: bool = False
    tools: tuple[ToolName, ...] = Field(default=(), max_length=MAX_NAMED, description="As of `start_turn`.")
    model: str | None = Field(default=None, max_length=200)
    params: GenerationParams = GenerationParams()


class TurnSubmitted(WireModel):
    """The turn is durable: from here on it ends in exactly one terminal event."""

    type: Literal["turn_submitted"] = "turn_submitted"
    turn: TurnRef
    conversation_id: str
