"""What is refused from now on: a row that expires, and an event that tells the gateways within a moment."""

import logging
from collections.abc import Collection
from functools import partial
from typing import Any
from uuid import uuid4

from parley_contracts.credentials import (
    AccountsRevoked,
    ReadRevocations,
    Revocation,
    RevocationList,
    RevokedKind,
)
from parley_contracts.errors import ParleyError
from parley_identity.revocation_board import RevocationBoard
from parley_storage import Database
from sqlalchemy import Connection, Select, insert, select, tuple_

from parley_accounts.clock import Clock, unix_ms
from parley_accounts.outbox import add_event
from parley_accounts.tables import revocations

log = logging.getLogger("parley.accounts")

SPARE_MS = 60_000
"""How much longer than the longest access token a revocation is kept: clocks differ, caches linger."""


class Revocations:
    """Writes what is revoked, in the transaction of what revokes it, and reads what has been."""

    def __init__(
        self,
        database: Database,
        board: RevocationBoard | None = None,
        *,
        access_token_s: int,
        clock: Clock = unix_ms,
    ) -> None:
        self._database = database
        self._board = board
        self._lasts_ms = access_token_s * 1000 + SPARE_MS
        self._clock = clock

    def add(self, connection: Connection, kind: RevokedKind, revoked_id: str) -> None:
        """Revoke something; the user that it belongs to is locked, so that no token is issued meanwhile."""
        at_ms = self._clock()
        revocation = Revocation(
            id=uuid4().hex,
            kind=kind,
            revoked_id=revoked_id,
            at_ms=at_ms,
            expires_at_ms=at_ms + self._lasts_ms,
        )
        connection.execute(insert(revocations).values(**revocation.model_dump(mode="json")))
        add_event(connection, AccountsRevoked(revocation=revocation), at_ms)

    async def read(self, request: ReadRevocations) -> RevocationList:
        """Return a page of those since a time that have not expired."""
        now_ms = self._clock()
        place = tuple_(revocations.c.at_ms, revocations.c.id)
        query = self._standing(now_ms).where(place > (request.since_ms, request.after_id))
        found = await self._database.read(partial(_read, query=query.limit(request.limit)))
        return RevocationList(revocations=found, read_at_ms=now_ms)

    async def post(self, revoked: Collection[Revocation]) -> None:
        """Have gateways see it in Redis; while that is away, they ask."""
        if self._board is None:
            return
        try:
            await self._board.post(revoked, self._clock())
        except ParleyError as error:
            log.warning("revocations could not be posted", extra={"reason": error.message})

    async def post_all(self) -> None:
        """Post everything that stands: Redis may have been away, or have lost it."""
        await self.post(await self._database.read(partial(_read, query=self._standing(self._clock()))))

    def _standing(self, now_ms: int) -> Select[Any]:
        query = select(revocations).where(revocations.c.expires_at_ms > now_ms)
        return query.order_by(revocations.c.at_ms, revocations.c.id)


def _read(connection: Connection, query: Select[Any]) -> tuple[Revocation, ...]:
    rows = connection.execute(query).mappings()
    return tuple(Revocation.model_validate(dict(row)) for row in rows)
