"""Everybody's keys and bots, for those who look after users: requests to the accounts service."""

from typing import Literal

from pydantic import Field

from parley_contracts.accounts import PrincipalRequest
from parley_contracts.bots import BotId, BotSummary
from parley_contracts.credentials import ApiKey
from parley_contracts.groups import Cursor, UserId
from parley_contracts.model import WireModel


class OwnedKey(ApiKey):
    """An API key with whose it is."""

    user_id: str
    user_name: str
    prefix: str | None = Field(
        description="What the key begins with, to know it by; None for the one that the first start made."
    )


class ListAllKeys(PrincipalRequest):
    """Request: API keys of everybody that are not revoked, the newest first."""

    type: Literal["list_all_keys"] = "list_all_keys"
    limit: int = Field(default=50, ge=1, le=500)
    cursor: Cursor | None = None
    user_id: UserId | None = Field(default=None, description="Only those of this user.")


class OwnedKeyList(WireModel):
    """A page of keys; `next_cursor` is None on the last."""

    type: Literal["owned_key_list"] = "owned_key_list"
    keys: tuple[OwnedKey, ...]
    next_cursor: str | None = None


class OwnedBotSummary(BotSummary):
    """A bot as it is listed, with whose it is."""

    owner_id: str
    owner_name: str


class ListAllBots(PrincipalRequest):
    """Request: bots of everybody, the newest first."""

    type: Literal["list_all_bots"] = "list_all_bots"
    limit: int = Field(default=50, ge=1, le=500)
    cursor: Cursor | None = None
    user_id: UserId | None = Field(default=None, description="Only those of this user.")
    is_blocked: bool | None = Field(default=None, description="Only those that are, or are not.")


class OwnedBotList(WireModel):
    """A page of bots; `next_cursor` is None on the last."""

    type: Literal["owned_bot_list"] = "owned_bot_list"
    bots: tuple[OwnedBotSummary, ...]
    next_cursor: str | None = None


class ReadAnyBot(PrincipalRequest):
    """Request: one bot, whosever it is."""

    type: Literal["read_any_bot"] = "read_any_bot"
    bot_id: BotId


class BlockBot(PrincipalRequest):
    """Request: let nobody ask a bot of a user of a lower role, whatever he sets; or let them again."""

    type: Literal["block_bot"] = "block_bot"
    bot_id: BotId
    is_blocked: bool
