"""Forgets what has expired, and has the board in Redis say again what is refused."""

import asyncio
import logging

from parley_contracts.data_rights import VISITOR, DataJobState
from parley_contracts.usage import periods_of
from parley_storage import Database
from sqlalchemy import Connection, Delete, Update, delete, or_, update

from parley_accounts.clock import Clock, unix_ms
from parley_accounts.revocations import Revocations
from parley_accounts.tables import (
    api_keys,
    data_jobs,
    links,
    oidc_attempts,
    refresh_tokens,
    revocations,
    sessions,
    signing_keys,
    usage_totals,
    usage_turns,
)

log = logging.getLogger("parley.accounts")

_DAY_MS = 86_400_000
_REVOKED_KEYS_MS = 30 * _DAY_MS
_SUMS_MS = 62 * _DAY_MS
_VISITORS_MS = 30 * _DAY_MS
_COUNTED_TURNS_MS = 8 * _DAY_MS
"""The seal of a turn, from which it could be counted again, is kept for a day."""


def _statements(now_ms: int, grace_ms: int) -> tuple[Delete | Update, ...]:
    return (
        # After the grace nobody is given a successor again: it need not stand there.
        update(refresh_tokens)
        .where(refresh_tokens.c.used_at_ms < now_ms - grace_ms, refresh_tokens.c.successor.is_not(None))
        .values(successor=None),
        delete(sessions).where(
            or_(sessions.c.expires_at_ms < now_ms, sessions.c.ended_at_ms < now_ms - _DAY_MS)
        ),
        # Of a session that goes on, also the used ones: to be shown one of them ends it.
        delete(refresh_tokens).where(refresh_tokens.c.expires_at_ms < now_ms),
        delete(links).where(links.c.expires_at_ms < now_ms),
        delete(usage_turns).where(usage_turns.c.recorded_at_ms < now_ms - _COUNTED_TURNS_MS),
        delete(usage_totals).where(usage_totals.c.period < periods_of(now_ms - _SUMS_MS)[0]),
        # Of visitors nobody is left who would ask what became of it.
        delete(data_jobs).where(
            data_jobs.c.user_id.startswith(VISITOR, autoescape=True),
            data_jobs.c.state == DataJobState.DONE,
            data_jobs.c.ended_at_ms < now_ms - _VISITORS_MS,
        ),
        delete(oidc_attempts).where(oidc_attempts.c.expires_at_ms < now_ms),
        delete(revocations).where(revocations.c.expires_at_ms < now_ms),
        delete(signing_keys).where(signing_keys.c.published_until_ms < now_ms),
        delete(api_keys).where(api_keys.c.revoked_at_ms < now_ms - _REVOKED_KEYS_MS),
    )


class Sweep:
    """Sweeps every `every_s`, one short transaction for each table."""

    def __init__(
        self,
        database: Database,
        revocations: Revocations,
        *,
        every_s: float,
        grace_s: float,
        clock: Clock = unix_ms,
    ) -> None:
        self._database = database
        self._revocations = revocations
        self._every_s = every_s
        self._grace_ms = round(grace_s * 1000)
        self._clock = clock

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                await self.sweep()
            except Exception:
                log.warning("what has expired could not be swept out", exc_info=True)
            await asyncio.sleep(self._every_s)

    async def sweep(self) -> None:
        """Sweep once."""
        for statement in _statements(self._clock(), self._grace_ms):

            def work(connection: Connection, statement: Delete | Update = statement) -> None:
                connection.execute(statement)

            await self._database.write(work)
        await self._revocations.post_all()
