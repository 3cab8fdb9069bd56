"""Tells users of API keys that are about to expire, once for each key."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from parley_contracts.notices import NoticeFacts, NoticeKind
from parley_storage import Database
from sqlalchemy import Connection, select

from parley_accounts.clock import Clock, unix_ms
from parley_accounts.notices.notices import Notices
from parley_accounts.notices.tables import expiring_keys
from parley_accounts.tables import api_keys

log = logging.getLogger("parley.accounts")

TOLD_BEFORE = timedelta(days=7)
_BATCH = 200
_LOOKS_EVERY_S = 600.0


class KeyExpiry:
    """Looks for keys that expire within a week and were made for longer."""

    def __init__(
        self, database: Database, told: Notices, *, wake: Callable[[], None], clock: Clock = unix_ms
    ) -> None:
        self._database = database
        self._notices = told
        self._wake = wake
        self._clock = clock

    async def run(self) -> None:
        """Look from time to time until cancelled."""
        while True:
            try:
                await self.tell()
                self._wake()
            except Exception:
                log.warning("keys that are about to expire cannot be looked for", exc_info=True)
            await asyncio.sleep(_LOOKS_EVERY_S)

    async def tell(self) -> None:
        """Tell of those that nobody has been told of."""
        await self._database.write(self._tell)

    def _tell(self, connection: Connection) -> None:
        now_ms = self._clock()
        week_ms = round(TOLD_BEFORE.total_seconds() * 1000)
        told = select(expiring_keys.c.key_id)
        due = select(api_keys).where(
            api_keys.c.revoked_at_ms.is_(None),
            api_keys.c.expires_at_ms > now_ms,
            api_keys.c.expires_at_ms <= now_ms + week_ms,
            # Who made a key for a day knows that it expires.
            api_keys.c.expires_at_ms - api_keys.c.created_at_ms > week_ms,
            api_keys.c.id.not_in(told),
        )
        rows = connection.execute(due.order_by(api_keys.c.id).limit(_BATCH)).all()
        # Sorted: whoever locks several users does so in this order.
        for row in sorted(rows, key=lambda row: (row.user_id, row.id)):
            noted = self._database.insert(expiring_keys).values(key_id=row.id).on_conflict_do_nothing()
            if connection.execute(noted).rowcount:
                facts = NoticeFacts(key_id=row.id, expires_at_ms=row.expires_at_ms)
                self._notices.add(connection, row.user_id, NoticeKind.KEY_EXPIRING, facts)
