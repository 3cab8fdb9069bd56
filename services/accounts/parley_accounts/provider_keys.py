"""Keys of bots at providers of models: sealed for their row, never told again."""

import secrets
from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission
from parley_contracts.provider_keys import (
    DeleteProviderKey,
    ListProviderKeys,
    ProviderKey,
    ProviderKeyList,
    SetProviderKey,
)
from parley_storage import Database
from sqlalchemy import Connection, delete, func, insert, select

from parley_accounts.acting import require_actor
from parley_accounts.bot_rows import find_own_bot
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.key_ring import KeyRing
from parley_accounts.tables import provider_keys

MAX_KEYS = 32
"""How many providers a bot may have keys for."""


def purpose_of(row: Any) -> str:
    """Return what a row's key is sealed for: this row of this bot and provider, and no other."""
    return f"provider key {row.id} of bot {row.bot_id} at {row.provider}"


def _described(row: Any) -> ProviderKey:
    return ProviderKey(provider=row.provider, last_four=row.last_four, created_at_ms=row.created_at_ms)


class ProviderKeys:
    """The keys of all bots; each is its bot's owner's to set and to forget."""

    def __init__(self, database: Database, ring: KeyRing, *, clock: Clock = unix_ms) -> None:
        self._database = database
        self._ring = ring
        self._clock = clock

    async def set(self, request: SetProviderKey) -> ProviderKey:
        """Keep a key in place of the one there is."""

        def put(connection: Connection) -> ProviderKey:
            actor = require_actor(connection, request, Permission.PROVIDER_KEYS_WRITE)
            bot = find_own_bot(connection, actor.id, request.bot_id, locks=True)
            of_bot = provider_keys.c.bot_id == bot.id
            of_provider = provider_keys.c.provider == request.provider
            connection.execute(delete(provider_keys).where(of_bot, of_provider))
            standing = select(func.count()).select_from(provider_keys).where(of_bot)
            if connection.execute(standing).scalar_one() >= MAX_KEYS:
                raise ParleyError(ErrorCode.CONFLICT, f"There are {MAX_KEYS} keys; forget one first.")
            row = _Row(secrets.token_hex(16), bot.id, request.provider)
            sealed = self._ring.seal(connection, request.key.encode(), purpose=purpose_of(row))
            made = insert(provider_keys).values(
                id=row.id,
                bot_id=row.bot_id,
                provider=row.provider,
                sealed_key=sealed,
                last_four=request.key[-4:],
                created_at_ms=self._clock(),
            )
            connection.execute(made)
            return _described(connection.execute(select(provider_keys).where(of_bot, of_provider)).one())

        return await self._database.write(put)

    async def list(self, request: ListProviderKeys) -> ProviderKeyList:
        """Return which keys a bot has."""

        def read(connection: Connection) -> ProviderKeyList:
            actor = require_actor(connection, request, Permission.BOTS_READ)
            bot = find_own_bot(connection, actor.id, request.bot_id)
            query = select(provider_keys).where(provider_keys.c.bot_id == bot.id)
            rows = connection.execute(query.order_by(provider_keys.c.provider)).all()
            return ProviderKeyList(keys=tuple(_described(row) for row in rows))

        return await self._database.read(read)

    async def delete(self, request: DeleteProviderKey) -> None:
        """Forget a key."""

        def remove(connection: Connection) -> None:
            actor = require_actor(connection, request, Permission.PROVIDER_KEYS_WRITE)
            bot = find_own_bot(connection, actor.id, request.bot_id, locks=True)
            of_provider = provider_keys.c.provider == request.provider
            gone = connection.execute(
                delete(provider_keys).where(provider_keys.c.bot_id == bot.id, of_provider)
            )
            if not gone.rowcount:
                message = "The bot has no key at this provider."
                raise ParleyError(ErrorCode.NOT_FOUND, message, field="provider")

        await self._database.write(remove)


class _Row:
    """What names a row that is about to be made."""

    def __init__(self, key_id: str, bot_id: str, provider: str) -> None:
        self.id = key_id
        self.bot_id = bot_id
        self.provider = provider
