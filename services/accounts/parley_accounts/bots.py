"""Bots: made, read, listed, changed and deleted by their owner, and read for visitors."""

import secrets
from functools import partial

from parley_contracts.accounts import UserState
from parley_contracts.bots import (
    Bot,
    BotChanged,
    BotList,
    BotSummary,
    ChangeBot,
    CreateBot,
    DeleteBot,
    ListBots,
    PublicBot,
    ReadBot,
    ReadPublicBot,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission, Role, effective
from parley_storage import Database
from sqlalchemy import Connection, delete, func, insert, select

from parley_accounts.acting import find_user, require_actor
from parley_accounts.bot_rows import (
    BotRow,
    bot_not_found,
    described,
    find_own_bot,
    insert_version,
    next_version,
    require_sensible,
    require_version,
    settings_of,
    summary_fields,
)
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.data_job_rows import insert_visitors_erasure
from parley_accounts.granting import granted_to
from parley_accounts.outbox import add_event
from parley_accounts.row_pages import read_page
from parley_accounts.tables import bots, users

MAX_BOTS = 200
"""How many bots a user may have."""


class Bots:
    """The bots of all users; each is its owner's alone."""

    def __init__(self, database: Database, *, clock: Clock = unix_ms) -> None:
        self._database = database
        self._clock = clock

    async def create(self, request: CreateBot) -> Bot:
        """Make a bot of who asks."""
        require_sensible(request.settings)
        return await self._database.write(partial(self._create, request=request))

    def _create(self, connection: Connection, request: CreateBot) -> Bot:
        actor = require_actor(connection, request, Permission.BOTS_WRITE)
        # Those who make bots of one owner at once take turns, so that the count holds.
        find_user(connection, actor.id, locks=True)
        standing = select(func.count()).select_from(bots).where(bots.c.owner_id == actor.id)
        if connection.execute(standing).scalar_one() >= MAX_BOTS:
            raise ParleyError(ErrorCode.CONFLICT, f"There are {MAX_BOTS} bots; delete one first.")
        now_ms = self._clock()
        row = {
            "id": secrets.token_hex(16),
            "owner_id": actor.id,
            "version": 1,
            "settings": request.settings.model_dump_json(),
            "created_at_ms": now_ms,
            "changed_at_ms": now_ms,
        }
        connection.execute(insert(bots).values(**row))
        insert_version(connection, row, changed=(), by=actor.id)
        return described(find_own_bot(connection, actor.id, str(row["id"])))

    async def read(self, request: ReadBot) -> Bot:
        """Return one bot of who asks."""

        def read(connection: Connection) -> Bot:
            actor = require_actor(connection, request, Permission.BOTS_READ)
            return described(find_own_bot(connection, actor.id, request.bot_id))

        return await self._database.read(read)

    async def list(self, request: ListBots) -> BotList:
        """Return a page of the bots of who asks, the newest first."""

        def read(connection: Connection) -> BotList:
            actor = require_actor(connection, request, Permission.BOTS_READ)
            query = select(bots).where(bots.c.owner_id == actor.id)
            rows, following = read_page(connection, query, bots, limit=request.limit, cursor=request.cursor)
            return BotList(
                bots=tuple(BotSummary(**summary_fields(row)) for row in rows), next_cursor=following
            )

        return await self._database.read(read)

    async def change(self, request: ChangeBot) -> Bot:
        """Give a bot other settings, unless somebody has been faster."""
        require_sensible(request.settings)

        def change(connection: Connection) -> Bot:
            actor = require_actor(connection, request, Permission.BOTS_WRITE)
            row = find_own_bot(connection, actor.id, request.bot_id, locks=True)
            require_version(row, request.if_version)
            return next_version(connection, row, request.settings, by=actor.id, now_ms=self._clock())

        return await self._database.write(change)

    async def delete(self, request: DeleteBot) -> None:
        """Remove a bot, its versions and its keys; soon after, what visitors asked of it."""

        def remove(connection: Connection) -> None:
            actor = require_actor(connection, request, Permission.BOTS_WRITE)
            row = find_own_bot(connection, actor.id, request.bot_id, locks=True)
            connection.execute(delete(bots).where(bots.c.id == row.id))
            now_ms = self._clock()
            event = BotChanged(
                bot_id=row.id,
                owner_id=row.owner_id,
                version=row.version,
                is_deleted=True,
                changed_at_ms=now_ms,
            )
            add_event(connection, event, now_ms)
            insert_visitors_erasure(connection, row.id, asked_by=actor.id, now_ms=now_ms)

        await self._database.write(remove)

    async def read_public(self, request: ReadPublicBot) -> PublicBot:
        """Return a bot that visitors may ask: enabled, of an owner who is active and may have one."""
        query = select(bots, users.c.role, users.c.state).select_from(bots.join(users))
        query = query.where(bots.c.id == request.bot_id)

        def read(connection: Connection) -> tuple[BotRow | None, frozenset[Permission]]:
            row = connection.execute(query).one_or_none()
            if row is None:
                return None, frozenset()
            return row, effective(Role(row.role), granted=granted_to(connection, row.owner_id))

        row, permitted = await self._database.read(read)
        is_open = (
            row is not None
            and row.blocked_at_ms is None
            and row.state == UserState.ACTIVE
            and Permission.BOTS_WRITE in permitted
            and settings_of(row).is_enabled
        )
        if row is None or not is_open:
            raise bot_not_found()
        return PublicBot(**dict(described(row)), owner_role=Role(row.role))
