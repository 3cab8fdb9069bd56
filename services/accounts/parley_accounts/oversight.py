"""Everybody's keys and bots, listed for those who look after users; a bot may be blocked over its owner."""

from collections.abc import Callable
from typing import Any

from parley_contracts.bots import Bot, BotChanged
from parley_contracts.oversight import (
    BlockBot,
    ListAllBots,
    ListAllKeys,
    OwnedBotList,
    OwnedBotSummary,
    OwnedKey,
    OwnedKeyList,
    ReadAnyBot,
)
from parley_contracts.policy import Permission, Role
from parley_storage import Database
from sqlalchemy import Connection, Select, select, update
from sqlalchemy.engine import Row

from parley_accounts.acting import require_actor
from parley_accounts.api_keys import described as described_key
from parley_accounts.bot_rows import BotRow, bot_not_found, described, summary_fields
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.installation import OWNER_KEY_ID
from parley_accounts.opaque_secrets import key_start
from parley_accounts.outbox import add_event
from parley_accounts.row_pages import read_page
from parley_accounts.tables import api_keys, bots, users


def _owned_key(row: Row[Any]) -> OwnedKey:
    return OwnedKey(
        **described_key(row).model_dump(),
        user_id=row.user_id,
        user_name=row.user_name,
        prefix=None if row.id == OWNER_KEY_ID else key_start(row.id),
    )


def _owned_bot(row: Row[Any]) -> OwnedBotSummary:
    return OwnedBotSummary(**summary_fields(row), owner_id=row.owner_id, owner_name=row.owner_name)


class Oversight:
    """What belongs to everybody, for those who look after them."""

    def __init__(self, database: Database, *, clock: Clock = unix_ms) -> None:
        self._database = database
        self._clock = clock

    async def list_keys(self, request: ListAllKeys) -> OwnedKeyList:
        """Return a page of the keys that are not revoked."""

        def read(connection: Connection) -> OwnedKeyList:
            require_actor(connection, request, Permission.USERS_READ)
            query = select(api_keys, users.c.name.label("user_name")).join(users)
            query = query.where(api_keys.c.revoked_at_ms.is_(None))
            if request.user_id is not None:
                query = query.where(api_keys.c.user_id == request.user_id)
            rows, following = read_page(
                connection, query, api_keys, limit=request.limit, cursor=request.cursor
            )
            return OwnedKeyList(keys=tuple(_owned_key(row) for row in rows), next_cursor=following)

        return await self._database.read(read)

    async def list_bots(self, request: ListAllBots) -> OwnedBotList:
        """Return a page of bots."""

        def read(connection: Connection) -> OwnedBotList:
            require_actor(connection, request, Permission.USERS_READ)
            query = select(bots, users.c.name.label("owner_name")).join(users)
            if request.user_id is not None:
                query = query.where(bots.c.owner_id == request.user_id)
            if request.is_blocked is not None:
                is_blocked = bots.c.blocked_at_ms.is_not(None)
                query = query.where(is_blocked if request.is_blocked else ~is_blocked)
            rows, following = read_page(connection, query, bots, limit=request.limit, cursor=request.cursor)
            return OwnedBotList(bots=tuple(_owned_bot(row) for row in rows), next_cursor=following)

        return await self._database.read(read)

    async def read_bot(self, request: ReadAnyBot) -> Bot:
        """Return one bot."""

        def read(connection: Connection) -> Bot:
            require_actor(connection, request, Permission.USERS_READ)
            return described(_find_bot(connection, request.bot_id))

        return await self._database.read(read)

    async def block_bot(self, request: BlockBot) -> Bot:
        """Block a bot, or end that; gateways forget it at once."""

        def block(connection: Connection) -> Bot:
            actor = require_actor(connection, request, Permission.USERS_WRITE)
            row = _find_bot(connection, request.bot_id, lambda query: query.with_for_update(of=bots))
            # His own bot he may block, but not take back what somebody above him has done.
            if row.owner_id != actor.id or not request.is_blocked:
                actor.require_may_manage(Role(row.owner_role))
            if (row.blocked_at_ms is not None) == request.is_blocked:
                return described(row)
            now_ms = self._clock()
            blocked_at_ms = now_ms if request.is_blocked else None
            connection.execute(update(bots).where(bots.c.id == row.id).values(blocked_at_ms=blocked_at_ms))
            event = BotChanged(
                bot_id=row.id, owner_id=row.owner_id, version=row.version, changed_at_ms=now_ms
            )
            add_event(connection, event, now_ms)
            return described(_find_bot(connection, row.id))

        return await self._database.write(block)


def _find_bot(
    connection: Connection,
    bot_id: str,
    locked: Callable[[Select[Any]], Select[Any]] = lambda query: query,
) -> BotRow:
    query = select(bots, users.c.role.label("owner_role")).join(users).where(bots.c.id == bot_id)
    row = connection.execute(locked(query)).one_or_none()
    if row is None:
        raise bot_not_found()
    return row
