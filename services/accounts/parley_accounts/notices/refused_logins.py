"""Logins refused in a row: counted aside, so that a refusal takes no longer where there is a user."""

import asyncio
import logging
from collections import Counter
from functools import partial

from parley_contracts.errors import ParleyError
from parley_contracts.notices import NoticeKind
from parley_storage import Database
from sqlalchemy import Connection, delete, select

from parley_accounts.acting import find_user
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.notices.notices import Notices
from parley_accounts.notices.tables import refused_logins

log = logging.getLogger("parley.accounts")

TOLD_FROM = 5
"""So many in a row are told; fewer are somebody who mistypes."""
MOST_COUNTED = 10_000
FORGOTTEN_MS = 86_400_000
_WRITES_EVERY_S = 1.0


class RefusedLogins:
    """Counts in memory and writes every moment; what a dying process has not written is not told."""

    def __init__(self, database: Database, told: Notices, *, clock: Clock = unix_ms) -> None:
        self._database = database
        self._notices = told
        self._clock = clock
        self._counted: Counter[str] = Counter()

    def note(self, user_id: str) -> None:
        """Count a refusal; returns at once."""
        if user_id in self._counted or len(self._counted) < MOST_COUNTED:
            self._counted[user_id] += 1

    def forget(self, connection: Connection, user_id: str) -> None:
        """Begin anew, for the user has logged in."""
        self._counted.pop(user_id, None)
        connection.execute(delete(refused_logins).where(refused_logins.c.user_id == user_id))

    async def run(self) -> None:
        """Write what was counted until cancelled."""
        while True:
            await asyncio.sleep(_WRITES_EVERY_S)
            try:
                await self.write()
            except ParleyError as error:
                log.warning("refused logins cannot be noted", extra={"reason": error.message})
            except Exception:
                log.exception("refused logins cannot be noted")

    async def write(self) -> None:
        """Write what was counted so far, and tell those who had too many."""
        while self._counted:
            user_id, count = self._counted.popitem()
            try:
                await self._database.write(partial(self._write, user_id=user_id, count=count))
            except ParleyError:
                self._counted[user_id] += count
                raise

    def _write(self, connection: Connection, *, user_id: str, count: int) -> None:
        if find_user(connection, user_id, locks=True) is None:
            return
        now_ms = self._clock()
        query = select(refused_logins).filter_by(user_id=user_id)
        found = connection.execute(query).one_or_none()
        is_standing = found is not None and found.last_at_ms > now_ms - FORGOTTEN_MS
        before = found.in_a_row if found is not None and is_standing else 0
        values = {"in_a_row": before + count, "last_at_ms": now_ms}
        row = self._database.insert(refused_logins).values(user_id=user_id, **values)
        connection.execute(row.on_conflict_do_update(index_elements=["user_id"], set_=values))
        if before + count >= TOLD_FROM:
            news = count if before >= TOLD_FROM else before + count
            self._notices.add(connection, user_id, NoticeKind.LOGIN_REFUSED, count=news)
