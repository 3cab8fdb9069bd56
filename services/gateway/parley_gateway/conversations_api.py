"""Conversations: list, read, rename, delete."""

from typing import Annotated

from fastapi import APIRouter, Query
from parley_contracts import subjects
from parley_contracts.memory import (
    ConversationList,
    ConversationMessages,
    DeleteConversation,
    ListConversations,
    ReadConversation,
    RenameConversation,
)
from parley_contracts.replies import Done
from pydantic import BaseModel, ConfigDict, Field

from parley_gateway.edge import CurrentEdge, CurrentPrincipal

router = APIRouter(prefix="/api/conversations", tags=["conversations"])

ASK_S = 5.0


class NewTitle(BaseModel):
    """What a conversation is to be called."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=200)


@router.get("")
async def list_conversations(
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> ConversationList:
    """List your conversations, the latest used first."""
    request = ListConversations(owner_id=principal.owner_id, limit=limit, cursor=cursor)
    return await edge.bus.request(
        subjects.MEMORY_LIST_CONVERSATIONS, request, ConversationList, timeout_s=ASK_S
    )


@router.get("/{conversation_id}")
async def read_conversation(
    conversation_id: str,
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    cursor: str | None = None,
) -> ConversationMessages:
    """Return a conversation with its latest turns, oldest first; `next_cursor` leads to earlier ones."""
    request = ReadConversation(
        owner_id=principal.owner_id, conversation_id=conversation_id, limit=limit, cursor=cursor
    )
    return await edge.bus.request(
        subjects.MEMORY_READ_CONVERSATION, request, ConversationMessages, timeout_s=ASK_S
    )


@router.patch("/{conversation_id}")
async def rename_conversation(
    conversation_id: str, body: NewTitle, edge: CurrentEdge, principal: CurrentPrincipal
) -> Done:
    """Give a conversation a title."""
    request = RenameConversation(
        owner_id=principal.owner_id, conversation_id=conversation_id, title=body.title
    )
    return await edge.bus.request(subjects.MEMORY_RENAME_CONVERSATION, request, Done, timeout_s=ASK_S)


@router.delete("/{conversation_id}")
async def delete_conversation(conversation_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> Done:
    """Remove a conversation and its messages."""
    request = DeleteConversation(owner_id=principal.owner_id, conversation_id=conversation_id)
    return await edge.bus.request(subjects.MEMORY_DELETE_CONVERSATION, request, Done, timeout_s=ASK_S)
