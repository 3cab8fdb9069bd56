"""Bots: made, read, changed, gone back with and deleted by their owner; their keys at providers."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from parley_contracts import subjects
from parley_contracts.bots import (
    Bot,
    BotId,
    BotList,
    BotSettings,
    BotVersionList,
    BotVersionSettings,
    ChangeBot,
    CreateBot,
    DeleteBot,
    ListBots,
    ListBotVersions,
    ProviderName,
    ReadBot,
    ReadBotVersion,
    RestoreBotVersion,
    Version,
)
from parley_contracts.provider_keys import (
    DeleteProviderKey,
    ListProviderKeys,
    ProviderKey,
    ProviderKeyList,
    ProviderSecret,
    SetProviderKey,
)
from parley_contracts.replies import Done
from pydantic import BaseModel, ConfigDict, Field

from parley_gateway.edge import CurrentEdge, CurrentPrincipal

router = APIRouter(prefix="/api/bots", tags=["bots"])

ASK_S = 5.0
Id = Annotated[BotId, Path()]
Number = Annotated[Version, Path()]
Provider = Annotated[ProviderName, Path()]


class Settings(BotSettings):
    """All settings of a bot as they are to be."""

    model_config = ConfigDict(extra="forbid")


class NewSettings(BaseModel):
    """All settings of a bot as they are to be, and the version that was seen."""

    model_config = ConfigDict(extra="forbid")

    if_version: Version = Field(description="`conflict` when the bot is at another version by now.")
    settings: Settings


class SeenVersion(BaseModel):
    """The version that was seen."""

    model_config = ConfigDict(extra="forbid")

    if_version: Version = Field(description="`conflict` when the bot is at another version by now.")


class NewProviderKey(BaseModel):
    """A key at a provider of models."""

    model_config = ConfigDict(extra="forbid")

    key: ProviderSecret


@router.get("")
async def list_bots(
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> BotList:
    """List your bots, the newest first."""
    asked = ListBots(**principal.asking, limit=limit, cursor=cursor)
    return await edge.bus.request(subjects.ACCOUNTS_LIST_BOTS, asked, BotList, timeout_s=ASK_S)


@router.post("", status_code=201)
async def create_bot(body: Settings, edge: CurrentEdge, principal: CurrentPrincipal) -> Bot:
    """Make a bot."""
    asked = CreateBot(**principal.asking, settings=body)
    return await edge.bus.request(subjects.ACCOUNTS_CREATE_BOT, asked, Bot, timeout_s=ASK_S)


@router.get("/{bot_id}")
async def read_bot(bot_id: Id, edge: CurrentEdge, principal: CurrentPrincipal) -> Bot:
    """Return a bot of yours."""
    asked = ReadBot(**principal.asking, bot_id=bot_id)
    return await edge.bus.request(subjects.ACCOUNTS_READ_BOT, asked, Bot, timeout_s=ASK_S)


@router.put("/{bot_id}")
async def change_bot(bot_id: Id, body: NewSettings, edge: CurrentEdge, principal: CurrentPrincipal) -> Bot:
    """Give a bot other settings, as its next version."""
    asked = ChangeBot(**principal.asking, bot_id=bot_id, if_version=body.if_version, settings=body.settings)
    return await edge.bus.request(subjects.ACCOUNTS_CHANGE_BOT, asked, Bot, timeout_s=ASK_S)


@router.delete("/{bot_id}")
async def delete_bot(bot_id: Id, edge: CurrentEdge, principal: CurrentPrincipal) -> Done:
    """Remove a bot, its versions and its keys; soon after, what visitors asked of it."""
    asked = DeleteBot(**principal.asking, bot_id=bot_id)
    return await edge.bus.request(subjects.ACCOUNTS_DELETE_BOT, asked, Done, timeout_s=ASK_S)


@router.get("/{bot_id}/versions")
async def list_versions(
    bot_id: Id,
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before_version: Annotated[Version | None, Query()] = None,
) -> BotVersionList:
    """List what a bot has been, the latest first, with the names of what changed."""
    asked = ListBotVersions(**principal.asking, bot_id=bot_id, limit=limit, before_version=before_version)
    return await edge.bus.request(subjects.ACCOUNTS_LIST_BOT_VERSIONS, asked, BotVersionList, timeout_s=ASK_S)


@router.get("/{bot_id}/versions/{version}")
async def read_version(
    bot_id: Id, version: Number, edge: CurrentEdge, principal: CurrentPrincipal
) -> BotVersionSettings:
    """Return a version with its settings, and those of the one before it."""
    asked = ReadBotVersion(**principal.asking, bot_id=bot_id, version=version)
    return await edge.bus.request(
        subjects.ACCOUNTS_READ_BOT_VERSION, asked, BotVersionSettings, timeout_s=ASK_S
    )


@router.post("/{bot_id}/versions/{version}/restore")
async def restore_version(
    bot_id: Id, version: Number, body: SeenVersion, edge: CurrentEdge, principal: CurrentPrincipal
) -> Bot:
    """Go back to a version, by a next one with its settings."""
    asked = RestoreBotVersion(**principal.asking, bot_id=bot_id, version=version, if_version=body.if_version)
    return await edge.bus.request(subjects.ACCOUNTS_RESTORE_BOT_VERSION, asked, Bot, timeout_s=ASK_S)


@router.get("/{bot_id}/keys")
async def list_keys(bot_id: Id, edge: CurrentEdge, principal: CurrentPrincipal) -> ProviderKeyList:
    """List the providers that a bot has keys for."""
    asked = ListProviderKeys(**principal.asking, bot_id=bot_id)
    return await edge.bus.request(
        subjects.ACCOUNTS_LIST_PROVIDER_KEYS, asked, ProviderKeyList, timeout_s=ASK_S
    )


@router.put("/{bot_id}/keys/{provider}")
async def set_key(
    bot_id: Id, provider: Provider, body: NewProviderKey, edge: CurrentEdge, principal: CurrentPrincipal
) -> ProviderKey:
    """Set a bot's key at a provider; it is never told again, but for its last four characters."""
    asked = SetProviderKey(**principal.asking, bot_id=bot_id, provider=provider, key=body.key)
    return await edge.bus.request(subjects.ACCOUNTS_SET_PROVIDER_KEY, asked, ProviderKey, timeout_s=ASK_S)


@router.delete("/{bot_id}/keys/{provider}")
async def delete_key(bot_id: Id, provider: Provider, edge: CurrentEdge, principal: CurrentPrincipal) -> Done:
    """Forget a bot's key at a provider."""
    asked = DeleteProviderKey(**principal.asking, bot_id=bot_id, provider=provider)
    return await edge.bus.request(subjects.ACCOUNTS_DELETE_PROVIDER_KEY, asked, Done, timeout_s=ASK_S)
