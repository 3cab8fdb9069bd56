"""Conversations: requests to the memory service and the event it publishes."""

from typing import Literal

from pydantic import Field

from parley_contracts.attachments import Attachment, KeptAttachment
from parley_contracts.citations import Citation
from parley_contracts.model import OwnedRequest, WireModel
from parley_contracts.turns import ChatMessage, Seal, Support, TurnOutcome, TurnRef


class StoreUserMessage(OwnedRequest):
    """Request: keep what the user wrote. Keyed by turn id: a repeat changes nothing."""

    type: Literal["store_user_message"] = "store_user_message"
    turn: TurnRef
    conversation_id: str
    text: str
    attachments: tuple[str, ...] = Field(default=(), description="Ids of what was sent with it.")
    created_at_ms: int


class StoreTurn(OwnedRequest):
    """Request: keep both messages of a turn, from its seal. A repeat changes nothing."""

    type: Literal["store_turn"] = "store_turn"
    seal: Seal


class Stored(WireModel):
    """It is on disk; `is_new` is False for a repeat."""

    type: Literal["stored"] = "stored"
    is_new: bool


class ReadHistory(OwnedRequest):
    """Request: the latest messages of a conversation for a prompt, oldest first.

    `not_found` when the conversation is not the owner's. Turns without an answer text are left out.
    """

    type: Literal["read_history"] = "read_history"
    conversation_id: str
    max_chars: int = Field(default=16_000, ge=1)
    before_turn_id: str | None = Field(default=None, description="Leave out this turn and later ones.")


class History(WireModel):
    """Whole messages, oldest first, within the asked size."""

    type: Literal["history"] = "history"
    messages: tuple[ChatMessage, ...]
    attachments: tuple[KeptAttachment, ...] = Field(
        default=(), description="What the messages name and is still there."
    )


class ReadTurn(OwnedRequest):
    """Request: how a turn ended. `not_found` when it is not the owner's, or no answer of it is kept."""

    type: Literal["read_turn"] = "read_turn"
    turn_id: str = Field(description="On the bus: keyed hash of owner and client_turn_id.")


class StoredTurn(WireModel):
    """The answer of a turn as it is kept."""

    type: Literal["stored_turn"] = "stored_turn"
    conversation_id: str
    outcome: TurnOutcome
    text: str
    citations: tuple[Citation, ...] = ()
    support: Support | None = Field(default=None, description="As in the turn's seal.")


class Conversation(WireModel):
    """A conversation as its owner sees it."""

    id: str
    title: str = Field(description="Given, or the first words of the first question.")
    created_at_ms: int
    updated_at_ms: int
    turns: int


class StoredMessage(WireModel):
    """One message as it is kept."""

    turn_id: str = Field(description="The client's turn id.")
    role: Literal["user", "assistant"]
    text: str
    attachments: tuple[Attachment, ...] = Field(
        default=(), description="Of user messages: what was sent with it, as far as it is there."
    )
    outcome: TurnOutcome | None = Field(default=None, description="Of assistant messages.")
    citations: tuple[Citation, ...] = ()
    support: Support | None = Field(default=None, description="As in the turn's seal.")
    model: str | None = None
    created_at_ms: int


class ListConversations(OwnedRequest):
    """Request: conversations, the latest used first."""

    type: Literal["list_conversations"] = "list_conversations"
    limit: int = Field(default=50, ge=1, le=500)
    cursor: str | None = None


class ConversationList(WireModel):
    """A page of conversations; `next_cursor` is None on the last."""

    type: Literal["conversation_list"] = "conversation_list"
    conversations: tuple[Conversation, ...]
    next_cursor: str | None = None


class ReadConversation(OwnedRequest):
    """Request: a conversation with its latest turns; `cursor` asks for those before them."""

    type: Literal["read_conversation"] = "read_conversation"
    conversation_id: str
    limit: int = Field(default=200, ge=1, le=1000, description="Turns at most; fewer when they are large.")
    cursor: str | None = None


class ConversationMessages(WireModel):
    """A conversation and a page of its messages, oldest first; `next_cursor` leads to earlier ones."""

    type: Literal["conversation_messages"] = "conversation_messages"
    conversation: Conversation
    messages: tuple[StoredMessage, ...]
    next_cursor: str | None = None


class RenameConversation(OwnedRequest):
    """Request: give a conversation a title."""

    type: Literal["rename_conversation"] = "rename_conversation"
    conversation_id: str
    title: str = Field(min_length=1, max_length=200)


class DeleteConversation(OwnedRequest):
    """Request: remove a conversation and its messages; later stores into it are refused."""

    type: Literal["delete_conversation"] = "delete_conversation"
    conversation_id: str
    even_if_unknown: bool = Field(
        default=False,
        description="Refuse later stores also when nothing is stored yet; who asks has proven whose it is.",
    )


class ConversationTurnCompleted(WireModel):
    """Domain event: a turn of a conversation is stored. Published at least once."""

    type: Literal["conversation_turn_completed"] = "conversation_turn_completed"
    owner_id: str
    conversation_id: str
    turn_id: str
    outcome: TurnOutcome
    stored_at_ms: int
