"""Versions of bots: what changed, by whom, and the way back."""

from parley_contracts.bots import (
    Bot,
    BotSettings,
    BotVersion,
    BotVersionList,
    BotVersionSettings,
    ListBotVersions,
    ReadBotVersion,
    RestoreBotVersion,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission
from parley_storage import Database
from sqlalchemy import Connection, select

from parley_accounts.acting import require_actor
from parley_accounts.bot_rows import BotRow, find_own_bot, next_version, require_version, settings_of
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.tables import bot_versions


def _described(row: BotRow) -> BotVersion:
    return BotVersion(
        version=row.version,
        changed=tuple(row.changed.split()),
        changed_by=row.changed_by,
        changed_at_ms=row.changed_at_ms,
        restored_from=row.restored_from,
    )


def _find(connection: Connection, bot_id: str, version: int) -> BotRow | None:
    query = select(bot_versions).where(bot_versions.c.bot_id == bot_id, bot_versions.c.version == version)
    return connection.execute(query).one_or_none()


def _require(connection: Connection, bot_id: str, version: int) -> BotRow:
    row = _find(connection, bot_id, version)
    if row is None:
        raise ParleyError(ErrorCode.NOT_FOUND, "The bot has no such version.", field="version")
    return row


class BotVersions:
    """What bots have been; each is its owner's to see."""

    def __init__(self, database: Database, *, clock: Clock = unix_ms) -> None:
        self._database = database
        self._clock = clock

    async def list(self, request: ListBotVersions) -> BotVersionList:
        """Return a page of versions, the latest first."""

        def read(connection: Connection) -> BotVersionList:
            actor = require_actor(connection, request, Permission.BOTS_READ)
            bot = find_own_bot(connection, actor.id, request.bot_id)
            query = select(bot_versions).where(bot_versions.c.bot_id == bot.id).limit(request.limit + 1)
            if request.before_version is not None:
                query = query.where(bot_versions.c.version < request.before_version)
            rows = connection.execute(query.order_by(bot_versions.c.version.desc())).all()
            page = rows[: request.limit]
            return BotVersionList(
                versions=tuple(_described(row) for row in page),
                next_before_version=page[-1].version if len(rows) > len(page) else None,
            )

        return await self._database.read(read)

    async def read(self, request: ReadBotVersion) -> BotVersionSettings:
        """Return a version with its settings, and those of the one before it."""

        def read(connection: Connection) -> BotVersionSettings:
            actor = require_actor(connection, request, Permission.BOTS_READ)
            bot = find_own_bot(connection, actor.id, request.bot_id)
            row = _require(connection, bot.id, request.version)
            before = _find(connection, bot.id, request.version - 1)
            previous: BotSettings | None = None if before is None else settings_of(before)
            return BotVersionSettings(described=_described(row), settings=settings_of(row), previous=previous)

        return await self._database.read(read)

    async def restore(self, request: RestoreBotVersion) -> Bot:
        """Go back to a version by a next one, unless somebody has been faster."""

        def restore(connection: Connection) -> Bot:
            actor = require_actor(connection, request, Permission.BOTS_WRITE)
            bot = find_own_bot(connection, actor.id, request.bot_id, locks=True)
            require_version(bot, request.if_version)
            settings = settings_of(_require(connection, bot.id, request.version))
            return next_version(
                connection,
                bot,
                settings,
                by=actor.id,
                now_ms=self._clock(),
                restored_from=request.version,
            )

        return await self._database.write(restore)
