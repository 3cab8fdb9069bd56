"""Everybody's keys and bots, for those who look after users."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from parley_contracts import subjects
from parley_contracts.bots import Bot, BotId
from parley_contracts.credentials import KeyList, ListKeys, RevokeKey
from parley_contracts.groups import Cursor, UserId
from parley_contracts.oversight import (
    BlockBot,
    ListAllBots,
    ListAllKeys,
    OwnedBotList,
    OwnedKeyList,
    ReadAnyBot,
)
from parley_contracts.replies import Done
from pydantic import BaseModel, ConfigDict, Field

from parley_gateway.edge import CurrentEdge, CurrentPrincipal

router = APIRouter(prefix="/api/admin", tags=["admin"])

ASK_S = 5.0
Limit = Annotated[int, Query(ge=1, le=500, description="How many to list at most.")]
After = Annotated[Cursor | None, Query(description="`next_cursor` of the page before.")]
OfUser = Annotated[UserId | None, Query(description="Only those of this user.")]
Id = Annotated[BotId, Path()]


class BotBlock(BaseModel):
    """Whether nobody may ask a bot."""

    model_config = ConfigDict(extra="forbid")

    is_blocked: bool = Field(examples=[True])


@router.get("/keys")
async def list_keys(
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    limit: Limit = 50,
    cursor: After = None,
    user_id: OfUser = None,
) -> OwnedKeyList:
    """List everybody's API keys that are not revoked, the newest first; never the keys themselves."""
    asked = ListAllKeys(**principal.asking, limit=limit, cursor=cursor, user_id=user_id)
    return await edge.bus.request(subjects.ACCOUNTS_LIST_ALL_KEYS, asked, OwnedKeyList, timeout_s=ASK_S)


@router.delete("/keys/{key_id}")
async def revoke_key(key_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> Done:
    """Refuse an API key of a user of a lower role from now on, on every gateway."""
    asked = RevokeKey(**principal.asking, key_id=key_id)
    return await edge.bus.request(subjects.ACCOUNTS_REVOKE_KEY, asked, Done, timeout_s=ASK_S)


@router.get("/users/{user_id}/keys")
async def list_keys_of(user_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> KeyList:
    """List a user's API keys that are not revoked."""
    asked = ListKeys(**principal.asking, user_id=user_id)
    return await edge.bus.request(subjects.ACCOUNTS_LIST_KEYS, asked, KeyList, timeout_s=ASK_S)


@router.get("/bots")
async def list_bots(
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    *,
    limit: Limit = 50,
    cursor: After = None,
    user_id: OfUser = None,
    is_blocked: Annotated[bool | None, Query(description="Only those that are, or are not.")] = None,
) -> OwnedBotList:
    """List everybody's bots, the newest first."""
    asked = ListAllBots(
        **principal.asking, limit=limit, cursor=cursor, user_id=user_id, is_blocked=is_blocked
    )
    return await edge.bus.request(subjects.ACCOUNTS_LIST_ALL_BOTS, asked, OwnedBotList, timeout_s=ASK_S)


@router.get("/bots/{bot_id}")
async def read_bot(bot_id: Id, edge: CurrentEdge, principal: CurrentPrincipal) -> Bot:
    """Return a bot, whosever it is; its keys at providers are told to nobody."""
    asked = ReadAnyBot(**principal.asking, bot_id=bot_id)
    return await edge.bus.request(subjects.ACCOUNTS_READ_ANY_BOT, asked, Bot, timeout_s=ASK_S)


@router.patch("/bots/{bot_id}")
async def block_bot(bot_id: Id, body: BotBlock, edge: CurrentEdge, principal: CurrentPrincipal) -> Bot:
    """Let nobody ask a bot of a user of a lower role, whatever its owner sets; or let them again."""
    asked = BlockBot(**principal.asking, bot_id=bot_id, is_blocked=body.is_blocked)
    return await edge.bus.request(subjects.ACCOUNTS_BLOCK_BOT, asked, Bot, timeout_s=ASK_S)
