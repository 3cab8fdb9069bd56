"""Removes rows whose time is over: whole stretches from the oldest on, behind a signed checkpoint."""

import asyncio
import logging

from parley_contracts.audit import Action, AnchorKind, AuditAnchored, AuditRow
from parley_identity.audit_chain import Break, ChainCheck, ChainFault
from parley_messaging.audit_record import of_itself
from parley_storage import Database
from sqlalchemy import Connection, delete, select, update

from parley_accounts.audit_anchors import newest_anchor, read_anchors, read_rows
from parley_accounts.audit_keys import AuditKeys
from parley_accounts.audit_log import AuditLog, Told
from parley_accounts.audit_rows import HEAD
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.tables import audit_anchors, audit_head, audit_log

log = logging.getLogger("parley.accounts")

DAY_MS = 86_400_000
EVERY_S = 3600.0
BATCH = 2000
"""Rows of one transaction: others append in between."""


class AuditRetention:
    """Sweeps every hour. What does not verify is not removed: it is evidence, and the log says so."""

    def __init__(
        self, database: Database, keys: AuditKeys, log: AuditLog, *, days: float, clock: Clock = unix_ms
    ) -> None:
        self._database = database
        self._keys = keys
        self._log = log
        self._kept_ms = round(days * DAY_MS)
        self._clock = clock
        self.broken: Break | None = None

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                await self.sweep()
            except Exception:
                log.warning("old rows of the audit could not be removed", exc_info=True)
            await asyncio.sleep(EVERY_S)

    async def sweep(self) -> int:
        """Remove what is old enough; return how many rows that were."""
        removed = 0
        while found := await self._database.write(self._remove):
            removed += found
        if removed:
            await self._log.append(Told("accounts", of_itself(Action.ROWS_REMOVED, removed)))
        if self.broken is not None:
            log.critical(
                "the audit's chain is broken; nothing behind that is removed",
                extra={"seq": self.broken.seq, "fault": self.broken.fault.value},
            )
        return removed

    def _remove(self, connection: Connection) -> int:
        if (signer := self._keys.signer) is None:
            self.broken = Break(1, ChainFault.NO_KEY)
            return 0
        head = connection.execute(select(audit_head).filter_by(name=HEAD).with_for_update()).one()
        check = ChainCheck(self._keys.installation, self._keys.public)
        if (checkpoint := newest_anchor(connection, AnchorKind.CHECKPOINT)) is not None:
            check.begin(checkpoint)
        # The head's own row stays: there is always one to go on from.
        rows = self._old(read_rows(connection, check.seq, head.seq - 1, BATCH))
        if not rows:
            return 0
        for anchor in read_anchors(connection, AnchorKind.HEAD, check.seq, rows[-1].seq):
            check.expect(anchor)
        for row in rows:
            check.take(row)
        self.broken = check.broken
        if check.broken:
            return 0
        self._cut(connection, signer.sign(AnchorKind.CHECKPOINT, check.seq, check.hash, self._clock()))
        return len(rows)

    def _old(self, rows: list[AuditRow]) -> list[AuditRow]:
        """Return the rows before the first one that is to be kept."""
        before_ms = self._clock() - self._kept_ms
        kept = next((n for n, row in enumerate(rows) if row.recorded_at_ms >= before_ms), len(rows))
        return rows[:kept]

    def _cut(self, connection: Connection, checkpoint: AuditAnchored) -> None:
        seq = checkpoint.seq
        connection.execute(delete(audit_anchors).where(audit_anchors.c.seq <= seq))
        connection.execute(audit_anchors.insert().values(**checkpoint.model_dump(exclude={"type"})))
        head = update(audit_head).where(audit_head.c.name == HEAD)
        connection.execute(head.values(removable_seq=seq))
        connection.execute(delete(audit_log).where(audit_log.c.seq <= seq))
        connection.execute(head.values(removable_seq=0))
