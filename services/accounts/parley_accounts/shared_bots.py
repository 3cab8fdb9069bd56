"""Bots that members of a group may ask: shared by their owner, who remains that, and seen by nobody else."""

from typing import Any

from parley_contracts.accounts import UserState
from parley_contracts.bots import Bot
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission, Role, effective
from parley_contracts.shared_bots import (
    AskBot,
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
from parley_storage import Database
from sqlalchemy import Connection, Select, delete, exists, func, or_, select
from sqlalchemy.engine import Row

from parley_accounts.acting import Actor, require_actor
from parley_accounts.bot_rows import bot_not_found, described, find_own_bot, settings_of
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.granting import granted_to
from parley_accounts.group_rows import group_not_found
from parley_accounts.row_pages import read_page
from parley_accounts.tables import bots, group_bots, group_members, groups, users

MAX_SHARES = 100
"""How many groups a bot may be shared with."""


def _shared_with(user_id: str) -> Any:
    """Return the condition that a bot is shared with a group that a user is in."""
    joined = group_bots.join(group_members, group_bots.c.group_id == group_members.c.group_id)
    here = (group_bots.c.bot_id == bots.c.id) & (group_members.c.user_id == user_id)
    return exists(select(group_bots.c.bot_id).select_from(joined).where(here))


def _with_owner() -> Select[Any]:
    """Return bots that are not blocked, of owners who are active."""
    owner = (users.c.name.label("owner_name"), users.c.role.label("owner_role"))
    query = select(bots, *owner).select_from(bots.join(users))
    return query.where(users.c.state == UserState.ACTIVE, bots.c.blocked_at_ms.is_(None))


def _is_open(connection: Connection, row: Row[Any]) -> bool:
    """Return whether a bot is enabled, and its owner may have one."""
    if not settings_of(row).is_enabled:
        return False
    role = Role(row.owner_role)
    if Permission.BOTS_WRITE in effective(role):
        return True
    return Permission.BOTS_WRITE in effective(role, granted=granted_to(connection, row.owner_id))


def _shown(row: Row[Any]) -> SharedBot:
    settings = settings_of(row)
    return SharedBot(
        id=row.id,
        name=settings.name,
        description=settings.description,
        greeting=settings.greeting,
        look=settings.look,
        owner_name=row.owner_name,
        created_at_ms=row.created_at_ms,
    )


class SharedBots:
    """Who may ask which bot besides its owner; looked up anew for each turn, so that changes hold at once."""

    def __init__(self, database: Database, *, clock: Clock = unix_ms) -> None:
        self._database = database
        self._clock = clock

    async def share(self, request: ShareBot) -> BotShare:
        """Share a bot of who asks with a group that he is in, or may look after."""

        def share(connection: Connection) -> BotShare:
            actor = require_actor(connection, request, Permission.BOTS_WRITE)
            bot = find_own_bot(connection, actor.id, request.bot_id, locks=True)
            group = _find_group(connection, actor, request.group_id)
            count = select(func.count()).select_from(group_bots).where(group_bots.c.bot_id == bot.id)
            if connection.execute(count).scalar_one() >= MAX_SHARES:
                raise ParleyError(ErrorCode.CONFLICT, f"The bot is shared with {MAX_SHARES} groups already.")
            row = self._database.insert(group_bots).values(
                group_id=group.id, bot_id=bot.id, shared_at_ms=self._clock()
            )
            connection.execute(row.on_conflict_do_nothing())
            return next(one for one in _shares_of(connection, bot.id) if one.group_id == group.id)

        return await self._database.write(share)

    async def unshare(self, request: UnshareBot) -> None:
        """End it; members of the group find no such bot from now on."""

        def unshare(connection: Connection) -> None:
            actor = require_actor(connection, request, Permission.BOTS_WRITE)
            bot = find_own_bot(connection, actor.id, request.bot_id, locks=True)
            shared = (group_bots.c.bot_id == bot.id) & (group_bots.c.group_id == request.group_id)
            connection.execute(delete(group_bots).where(shared))

        await self._database.write(unshare)

    async def shares(self, request: ListBotShares) -> BotShareList:
        """Return the groups that a bot of who asks is shared with."""

        def read(connection: Connection) -> BotShareList:
            actor = require_actor(connection, request, Permission.BOTS_READ)
            bot = find_own_bot(connection, actor.id, request.bot_id)
            return BotShareList(shares=_shares_of(connection, bot.id))

        return await self._database.read(read)

    async def list(self, request: ListSharedBots) -> SharedBotList:
        """Return a page of others' bots that who asks may ask; one that is closed now leaves a gap in it."""

        def read(connection: Connection) -> SharedBotList:
            actor = require_actor(connection, request, Permission.TURNS_WRITE)
            query = _with_owner().where(bots.c.owner_id != actor.id, _shared_with(actor.id))
            rows, following = read_page(connection, query, bots, limit=request.limit, cursor=request.cursor)
            found = tuple(_shown(row) for row in rows if _is_open(connection, row))
            return SharedBotList(bots=found, next_cursor=following)

        return await self._database.read(read)

    async def read(self, request: ReadSharedBot) -> SharedBot:
        """Return one bot as who may ask it sees it."""
        return await self._database.read(lambda connection: _shown(_find(connection, request)))

    async def ask(self, request: AskBot) -> Bot:
        """Return what a turn is started by: for gateways, members see nothing of it."""
        return await self._database.read(lambda connection: described(_find(connection, request)))


def _find(connection: Connection, request: ReadSharedBot | AskBot) -> Row[Any]:
    """Return a bot that is open and one's own, or shared with one of one's groups."""
    actor = require_actor(connection, request, Permission.TURNS_WRITE)
    is_for_him = or_(bots.c.owner_id == actor.id, _shared_with(actor.id))
    query = _with_owner().where(bots.c.id == request.bot_id, is_for_him)
    row = connection.execute(query).one_or_none()
    if row is None or not _is_open(connection, row):
        raise bot_not_found()
    return row


def _find_group(connection: Connection, actor: Actor, group_id: str) -> Row[Any]:
    query = select(groups).where(groups.c.id == group_id)
    if Permission.GROUPS_READ not in actor.permissions:
        query = query.join(group_members).where(group_members.c.user_id == actor.id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise group_not_found()
    return row


def _shares_of(connection: Connection, bot_id: str) -> tuple[BotShare, ...]:
    query = select(groups.c.id, groups.c.name, group_bots.c.shared_at_ms).select_from(groups.join(group_bots))
    rows = connection.execute(query.where(group_bots.c.bot_id == bot_id).order_by(groups.c.folded_name)).all()
    return tuple(
        BotShare(group_id=row.id, group_name=row.name, shared_at_ms=row.shared_at_ms) for row in rows
    )
