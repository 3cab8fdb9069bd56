"""Says whether the chain holds: row by row, against what was signed, and what the bus keeps of that."""

import logging
from functools import partial

from parley_contracts.audit import AnchorKind, AuditAnchored
from parley_contracts.audit_requests import AuditVerdict, CheckAudit
from parley_contracts.errors import ParleyError
from parley_contracts.policy import Permission
from parley_identity.audit_chain import Break, ChainCheck, ChainFault
from parley_storage import Database
from sqlalchemy import Connection, select

from parley_accounts.acting import require_actor
from parley_accounts.audit_anchors import (
    FOREVER,
    AnchorBus,
    last_published,
    newest_anchor,
    read_anchors,
    read_rows,
)
from parley_accounts.audit_keys import AuditKeys
from parley_accounts.audit_rows import HEAD
from parley_accounts.tables import audit_head

log = logging.getLogger("parley.accounts")


class AuditVerification:
    """Verifies a bounded stretch at a time; whoever asks goes on where the last verdict ended."""

    def __init__(self, database: Database, bus: AnchorBus, keys: AuditKeys) -> None:
        self._database = database
        self._bus = bus
        self._keys = keys
        self.broken: Break | None = None

    async def check(self, request: CheckAudit) -> AuditVerdict:
        """Return how the chain stands behind `after_seq`."""
        is_compared = True
        try:
            published = await last_published(self._bus, self._keys)
        except ParleyError:
            published, is_compared = None, False
        work = partial(self._check, request=request, published=published, is_compared=is_compared)
        verdict = await self._database.read(work)
        self._note(request, verdict)
        return verdict

    def _note(self, request: CheckAudit, verdict: AuditVerdict) -> None:
        """Remember a break until a verification passes it."""
        if verdict.broken_seq is not None and verdict.fault is not None:
            self.broken = Break(verdict.broken_seq, ChainFault(verdict.fault))
            log.critical(
                "a verification finds the audit broken",
                extra={"seq": verdict.broken_seq, "fault": verdict.fault},
            )
        elif self.broken is not None and request.after_seq < self.broken.seq:
            reached_seq = verdict.next_after_seq
            if reached_seq is None or reached_seq >= self.broken.seq:
                self.broken = None

    def _check(
        self,
        connection: Connection,
        *,
        request: CheckAudit,
        published: AuditAnchored | Break | None,
        is_compared: bool,
    ) -> AuditVerdict:
        require_actor(connection, request, Permission.AUDIT_READ)
        # Rows and head are those of one moment: on PostgreSQL nobody appends meanwhile.
        head = connection.execute(select(audit_head).filter_by(name=HEAD).with_for_update(read=True)).one()
        check = self._begun(connection, request.after_seq)
        rows = read_rows(connection, check.seq, FOREVER, request.limit + 1)
        is_last = len(rows) <= request.limit
        until_seq = FOREVER if is_last else rows[request.limit - 1].seq
        anchors = read_anchors(connection, AnchorKind.HEAD, check.seq - 1, until_seq)
        if isinstance(published, AuditAnchored) and published.seq <= until_seq:
            anchors.append(published)
        for anchor in anchors:
            check.expect(anchor)
        for row in rows[: request.limit]:
            check.take(row)
        if is_last:
            check.end(head.seq, head.hash)
        if isinstance(published, Break):
            check.fail(published.seq, published.fault)
        newest = newest_anchor(connection, AnchorKind.HEAD)
        broken = check.broken
        return AuditVerdict(
            rows=check.rows,
            anchors=check.anchors,
            is_whole=broken is None,
            broken_seq=broken.seq if broken else None,
            fault=broken.fault.value if broken else None,
            head_seq=head.seq,
            anchored_seq=newest.seq if newest else 0,
            is_compared=is_compared,
            next_after_seq=None if is_last or broken else check.seq,
        )

    def _begun(self, connection: Connection, after_seq: int) -> ChainCheck:
        check = ChainCheck(self._keys.installation, self._keys.public)
        if self._keys.signer is None:
            check.fail(1, ChainFault.NO_KEY)
        checkpoint = newest_anchor(connection, AnchorKind.CHECKPOINT)
        if checkpoint is not None:
            check.begin(checkpoint)
        if after_seq > check.seq:
            found = read_rows(connection, after_seq - 1, after_seq, 1)
            if not found:
                check.fail(after_seq, ChainFault.CUT)
            check.seq, check.hash = after_seq, found[0].hash if found else check.hash
        return check
