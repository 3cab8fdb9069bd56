"""What is refused from now on: a row that expires, and an event that tells the gateways within a moment."""

import base64
import binascii
from uuid import uuid4

from parley_contracts.credentials import (
    AccountsRevoked,
    ReadRevocations,
    Revocation,
    RevocationList,
    RevokedKind,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_storage import Database
from sqlalchemy import Connection, insert, select, tuple_

from parley_accounts.clock import Clock, unix_ms
from parley_accounts.outbox import add_event
from parley_accounts.tables import revocations

SPARE_MS = 60_000
"""How much longer than the longest access token a revocation is kept: clocks differ, caches linger."""


class Revocations:
    """Writes what is revoked, in the transaction of what revokes it, and reads what has been."""

    def __init__(self, database: Database, *, access_token_s: int, clock: Clock = unix_ms) -> None:
        self._database = database
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
        query = (
            select(revocations)
            .where(revocations.c.at_ms >= request.since_ms, revocations.c.expires_at_ms > now_ms)
            .order_by(revocations.c.at_ms, revocations.c.id)
            .limit(request.limit + 1)
        )
        if request.cursor is not None:
            query = query.where(tuple_(revocations.c.at_ms, revocations.c.id) > _decoded(request.cursor))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        page = rows[: request.limit]
        return RevocationList(
            revocations=tuple(
                Revocation(
                    id=row.id,
                    kind=RevokedKind(row.kind),
                    revoked_id=row.revoked_id,
                    at_ms=row.at_ms,
                    expires_at_ms=row.expires_at_ms,
                )
                for row in page
            ),
            read_at_ms=now_ms,
            next_cursor=_encoded(page[-1].at_ms, page[-1].id) if len(rows) > len(page) else None,
        )


def _encoded(at_ms: int, row_id: str) -> str:
    return base64.urlsafe_b64encode(f"{at_ms}.{row_id}".encode()).decode()


def _decoded(cursor: str) -> tuple[int, str]:
    try:
        at_ms, _, row_id = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition(".")
        if len(at_ms) > 15:
            raise ValueError("no time has as many digits")
        return int(at_ms), row_id
    except (ValueError, binascii.Error) as error:
        message = "cursor is none that a list has returned."
        raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="cursor") from error
