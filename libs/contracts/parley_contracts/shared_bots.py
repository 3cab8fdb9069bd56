"""Bots that are shared with groups: requests to the accounts service of their owners and of members."""

from typing import Literal

from pydantic import Field

from parley_contracts.accounts import PrincipalRequest
from parley_contracts.bots import BotId, WidgetLook
from parley_contracts.groups import Cursor, GroupId
from parley_contracts.model import WireModel


class ShareBot(PrincipalRequest):
    """Request: let a group's members ask a bot of who asks; `not_found` for a group that he may not see."""

    type: Literal["share_bot"] = "share_bot"
    bot_id: BotId
    group_id: GroupId


class UnshareBot(PrincipalRequest):
    """Request: let a group's members ask a bot of who asks no more; what is not shared stays so."""

    type: Literal["unshare_bot"] = "unshare_bot"
    bot_id: BotId
    group_id: GroupId


class BotShare(WireModel):
    """A group whose members may ask a bot."""

    type: Literal["bot_share"] = "bot_share"
    group_id: str
    group_name: str
    shared_at_ms: int


class ListBotShares(PrincipalRequest):
    """Request: the groups that a bot of who asks is shared with, by name."""

    type: Literal["list_bot_shares"] = "list_bot_shares"
    bot_id: BotId


class BotShareList(WireModel):
    """Groups whose members may ask a bot."""

    type: Literal["bot_share_list"] = "bot_share_list"
    shares: tuple[BotShare, ...]


class SharedBot(WireModel):
    """A bot as those see it who may ask it: nothing of its prompt, models or collections."""

    type: Literal["shared_bot"] = "shared_bot"
    id: str
    name: str
    description: str
    greeting: str
    look: WidgetLook
    owner_name: str
    created_at_ms: int = Field(default=0, description="0 when an older accounts service answers.")


class ListSharedBots(PrincipalRequest):
    """Request: bots of others that who asks may ask, the newest first."""

    type: Literal["list_shared_bots"] = "list_shared_bots"
    limit: int = Field(default=50, ge=1, le=500)
    cursor: Cursor | None = None


class SharedBotList(WireModel):
    """A page of bots; `next_cursor` is None on the last."""

    type: Literal["shared_bot_list"] = "shared_bot_list"
    bots: tuple[SharedBot, ...]
    next_cursor: str | None = None


class ReadSharedBot(PrincipalRequest):
    """Request: one bot that who asks may ask; `not_found` for every other."""

    type: Literal["read_shared_bot"] = "read_shared_bot"
    bot_id: BotId


class AskBot(PrincipalRequest):
    """Request: a bot that who asks may ask now, to start a turn by; `not_found` for any other."""

    type: Literal["ask_bot"] = "ask_bot"
    bot_id: BotId
