"""Bots: what one is, requests to the accounts service about them, and the event that tells of a change."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from parley_contracts.accounts import PrincipalRequest
from parley_contracts.model import WireModel
from parley_contracts.policy import Role
from parley_contracts.rag import CollectionName
from parley_contracts.turns import MAX_TOKENS, GenerationParams

MAX_PROMPT_CHARS = 20_000
MAX_QUESTION_CHARS = 100_000

ORIGIN = (
    r"^https?://([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])"
    r"(:[1-9][0-9]{0,4})?$"
)
TOOL_NAME = r"^[A-Za-z0-9_.:/-]+$"
PROVIDER_NAME = r"^[a-z][a-z0-9_-]*$"
COLOUR = r"^#[0-9a-f]{6}$"

Origin = Annotated[str, StringConstraints(max_length=300, pattern=ORIGIN)]
"""A page's origin as browsers say it (RFC 6454, section 6.2): no path, no default port, lower case."""
ToolName = Annotated[str, StringConstraints(max_length=100, pattern=TOOL_NAME)]
ProviderName = Annotated[str, StringConstraints(max_length=40, pattern=PROVIDER_NAME)]
BotId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Version = Annotated[int, Field(ge=1, le=2**31 - 1)]


class MemoryPolicy(StrEnum):
    """What a bot keeps of what visitors say.

    none: nothing; each question stands alone. session: one conversation for each visitor's session.
    """

    NONE = "none"
    SESSION = "session"


class BotModel(WireModel):
    """One model of a chain."""

    model: str = Field(min_length=1, max_length=200)
    params: GenerationParams = GenerationParams()


class WidgetLook(WireModel):
    """How a bot's widget looks on a page. It names nothing that would have to be fetched."""

    title: str = Field(default="", max_length=80)
    placeholder: str = Field(default="", max_length=200)
    accent: str = Field(default="#2b5cd9", pattern=COLOUR, description="As CSS: `#rrggbb`.")
    corner: Literal["left", "right"] = "right"


class BotLimits(WireModel):
    """What a bot may be asked for, however many visitors it has. None is no limit of the bot's own."""

    question_chars: int = Field(default=4_000, ge=1, le=MAX_QUESTION_CHARS)
    answer_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    turns_a_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    turns_a_day: int | None = Field(default=None, ge=1, le=1_000_000_000)
    turns_a_month: int | None = Field(default=None, ge=1, le=1_000_000_000)
    tokens_a_day: int | None = Field(default=None, ge=1, le=2**53)
    tokens_a_month: int | None = Field(default=None, ge=1, le=2**53)
    micros_a_day: int | None = Field(
        default=None, ge=1, le=2**53, description="Money, in millionths of what prices are in."
    )
    micros_a_month: int | None = Field(default=None, ge=1, le=2**53)


class BotSettings(WireModel):
    """All of a bot that has versions."""

    name: str = Field(min_length=1, max_length=100)
    description: str = Field(default="", max_length=1000)
    is_enabled: bool = Field(default=True, description="False: visitors find no such bot.")
    prompt: str = Field(
        default="", max_length=MAX_PROMPT_CHARS, description="Told to the model in each turn."
    )
    models: tuple[BotModel, ...] = Field(
        default=(), max_length=8, description="Tried in this order; empty is the installation's default."
    )
    collections: tuple[CollectionName, ...] = Field(
        default=(), max_length=64, description="Of the bot's owner; no others are searched."
    )
    tools: tuple[ToolName, ...] = Field(default=(), max_length=64)
    memory: MemoryPolicy = MemoryPolicy.SESSION
    uses_cache: bool = Field(
        default=False,
        description="Who asks the same again is given the same answer, where `params` are deterministic.",
    )
    greeting: str = Field(default="", max_length=2000)
    look: WidgetLook = WidgetLook()
    allowed_origins: tuple[Origin, ...] = Field(
        default=(), max_length=50, description="Pages that may ask; empty is none."
    )
    limits: BotLimits = BotLimits()


class Bot(WireModel):
    """A bot as its owner sees it."""

    type: Literal["bot"] = "bot"
    id: str
    owner_id: str
    version: int
    settings: BotSettings
    is_blocked: bool = Field(default=False, description="Nobody may ask it, whatever its owner sets.")
    created_at_ms: int
    changed_at_ms: int


class PublicBot(Bot):
    """A bot as gateways are told of it."""

    owner_role: Role = Field(default=Role.GUEST, description="By which the owner's quotas go.")


class BotSummary(WireModel):
    """A bot as it is listed."""

    id: str
    name: str
    is_enabled: bool
    is_blocked: bool = False
    version: int
    created_at_ms: int
    changed_at_ms: int


class CreateBot(PrincipalRequest):
    """Request: make a bot, at version 1."""

    type: Literal["create_bot"] = "create_bot"
    settings: BotSettings


class ReadBot(PrincipalRequest):
    """Request: one bot. `not_found` for one that is not the owner's."""

    type: Literal["read_bot"] = "read_bot"
    bot_id: BotId


class ListBots(PrincipalRequest):
    """Request: bots of who asks, the newest first."""

    type: Literal["list_bots"] = "list_bots"
    limit: int = Field(default=50, ge=1, le=500)
    cursor: str | None = Field(default=None, max_length=200)


class BotList(WireModel):
    """A page of bots; `next_cursor` is None on the last."""

    type: Literal["bot_list"] = "bot_list"
    bots: tuple[BotSummary, ...]
    next_cursor: str | None = None


class ChangeBot(PrincipalRequest):
    """Request: other settings, as the next version. `conflict` when `if_version` is not the present one.

    Settings that are the same make no version.
    """

    type: Literal["change_bot"] = "change_bot"
    bot_id: BotId
    if_version: Version
    settings: BotSettings


class DeleteBot(PrincipalRequest):
    """Request: remove a bot with its versions and keys. Visitors find no such bot from now on."""

    type: Literal["delete_bot"] = "delete_bot"
    bot_id: BotId


# -- versions -----------------------------------------------------------------------------------------


class BotVersion(WireModel):
    """A version as it is listed."""

    version: int
    changed: tuple[str, ...] = Field(description="Names of the settings that differ from the one before.")
    changed_by: str
    changed_at_ms: int
    restored_from: int | None = Field(default=None, description="The version that was gone back to.")


class ListBotVersions(PrincipalRequest):
    """Request: versions of a bot, the latest first."""

    type: Literal["list_bot_versions"] = "list_bot_versions"
    bot_id: BotId
    limit: int = Field(default=50, ge=1, le=500)
    before_version: Version | None = Field(default=None, description="Where the last page ended.")


class BotVersionList(WireModel):
    """A page of versions; `next_before_version` is None on the last."""

    type: Literal["bot_version_list"] = "bot_version_list"
    versions: tuple[BotVersion, ...]
    next_before_version: int | None = None


class ReadBotVersion(PrincipalRequest):
    """Request: what a version was, and the one before it."""

    type: Literal["read_bot_version"] = "read_bot_version"
    bot_id: BotId
    version: Version


class BotVersionSettings(WireModel):
    """A version with its settings; `previous` is None for the first, and where that is kept no more."""

    type: Literal["bot_version_settings"] = "bot_version_settings"
    described: BotVersion
    settings: BotSettings
    previous: BotSettings | None = None


class RestoreBotVersion(PrincipalRequest):
    """Request: go back to a version, by a next one with its settings; `conflict` as for `change_bot`."""

    type: Literal["restore_bot_version"] = "restore_bot_version"
    bot_id: BotId
    version: Version
    if_version: Version


# -- for gateways -------------------------------------------------------------------------------------


class ReadPublicBot(WireModel):
    """Request: a bot that visitors ask. `not_found` when it is disabled, or its owner is or may have none."""

    type: Literal["read_public_bot"] = "read_public_bot"
    bot_id: BotId


class BotChanged(WireModel):
    """Domain event: a bot is another one now, or gone. Published at least once."""

    type: Literal["bot_changed"] = "bot_changed"
    bot_id: str
    owner_id: str
    version: int
    is_deleted: bool = False
    changed_at_ms: int
