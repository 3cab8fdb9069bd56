"""Bots that their owners share with groups: who may ask them, and what those see of them."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from parley_contracts import subjects
from parley_contracts.bots import BotId
from parley_contracts.groups import Cursor, GroupId
from parley_contracts.replies import Done
from parley_contracts.shared_bots import (
    BotShare,
    BotShareList,
    ListBotShares,
    ListSharedBots,
    ReadSharedBot,
    ShareBot,
    SharedBot,
    SharedBotList,
    UnshareBot,
)

from parley_gateway.edge import CurrentEdge, CurrentPrincipal

router = APIRouter(prefix="/api", tags=["bots"])

ASK_S = 5.0
Id = Annotated[BotId, Path()]
Group = Annotated[GroupId, Path()]


@router.get("/bots/{bot_id}/groups")
async def list_shares(bot_id: Id, edge: CurrentEdge, principal: CurrentPrincipal) -> BotShareList:
    """List the groups that a bot of yours is shared with."""
    asked = ListBotShares(**principal.asking, bot_id=bot_id)
    return await edge.bus.request(subjects.ACCOUNTS_LIST_BOT_SHARES, asked, BotShareList, timeout_s=ASK_S)


@router.put("/bots/{bot_id}/groups/{group_id}")
async def share_bot(bot_id: Id, group_id: Group, edge: CurrentEdge, principal: CurrentPrincipal) -> BotShare:
    """Let the members of a group ask a bot of yours; you are in the group, or may list groups."""
    asked = ShareBot(**principal.asking, bot_id=bot_id, group_id=group_id)
    return await edge.bus.request(subjects.ACCOUNTS_SHARE_BOT, asked, BotShare, timeout_s=ASK_S)


@router.delete("/bots/{bot_id}/groups/{group_id}")
async def unshare_bot(bot_id: Id, group_id: Group, edge: CurrentEdge, principal: CurrentPrincipal) -> Done:
    """Let the members of a group ask a bot of yours no more."""
    asked = UnshareBot(**principal.asking, bot_id=bot_id, group_id=group_id)
    return await edge.bus.request(subjects.ACCOUNTS_UNSHARE_BOT, asked, Done, timeout_s=ASK_S)


@router.get("/shared-bots")
async def list_shared_bots(
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    limit: Annotated[int, Query(ge=1, le=500, description="How many to list at most.")] = 50,
    cursor: Annotated[Cursor | None, Query(description="`next_cursor` of the page before.")] = None,
) -> SharedBotList:
    """List others' bots that you may ask, the newest first."""
    asked = ListSharedBots(**principal.asking, limit=limit, cursor=cursor)
    return await edge.bus.request(subjects.ACCOUNTS_LIST_SHARED_BOTS, asked, SharedBotList, timeout_s=ASK_S)


@router.get("/shared-bots/{shared_bot_id}")
async def read_shared_bot(shared_bot_id: Id, edge: CurrentEdge, principal: CurrentPrincipal) -> SharedBot:
    """Return a bot that you may ask: `bot_id` of a turn, or `bot:<id>` as a completion's model."""
    asked = ReadSharedBot(**principal.asking, bot_id=shared_bot_id)
    return await edge.bus.request(subjects.ACCOUNTS_READ_SHARED_BOT, asked, SharedBot, timeout_s=ASK_S)
