"""Rows of the audit for those who may read it: found by what they say, or all of them in their order."""

from functools import partial

from parley_contracts.audit import AnchorKind, AuditAnchored, AuditRow, as_id
from parley_contracts.audit_requests import (
    AuditExport,
    AuditPage,
    AuditSegment,
    ExportBounds,
    ListAudit,
    OpenAuditExport,
    ReadAuditSegment,
)
from parley_contracts.policy import Permission
from parley_identity.audit_chain import FIRST_PREV_HASH, Break, ChainFault, is_signed
from parley_identity.export_bounds import Link, sign_bounds
from parley_storage import Database
from sqlalchemy import Connection, select

from parley_accounts.acting import require_actor
from parley_accounts.audit_anchors import (
    AnchorBus,
    last_published,
    newest_anchor,
    read_anchors,
    read_rows,
)
from parley_accounts.audit_keys import AuditKeys
from parley_accounts.audit_rows import HEAD
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.tables import audit_head, audit_log


class AuditReading:
    """Answers who has `audit:read`; it changes nothing."""

    def __init__(
        self, database: Database, bus: AnchorBus, keys: AuditKeys, *, clock: Clock = unix_ms
    ) -> None:
        self._database = database
        self._bus = bus
        self._keys = keys
        self._clock = clock

    async def list(self, request: ListAudit) -> AuditPage:
        """Return a page of rows, the newest first."""
        return await self._database.read(partial(_list, request=request))

    async def open_export(self, request: OpenAuditExport) -> AuditExport:
        """Return what an export begins and ends with; ParleyError `unavailable` while the bus is silent."""
        published = await last_published(self._bus, self._keys)

        def read(connection: Connection) -> AuditExport:
            require_actor(connection, request, Permission.AUDIT_READ)
            # Rows and head are those of one moment: on PostgreSQL nobody appends meanwhile.
            head = connection.execute(
                select(audit_head).filter_by(name=HEAD).with_for_update(read=True)
            ).one()
            checkpoint = newest_anchor(connection, AnchorKind.CHECKPOINT)
            oldest = Link(checkpoint.seq, checkpoint.hash) if checkpoint else Link(0, FIRST_PREV_HASH)
            fault = self._fault(connection, Link(head.seq, head.hash), oldest, published)
            if checkpoint is not None and not is_signed(
                checkpoint, self._keys.installation, self._keys.public
            ):
                fault = fault or ChainFault.BAD_SIGNATURE
            bounds = None
            if fault is None:
                bounds = self._bounds(connection, request, Link(head.seq, head.hash), oldest)
                fault = None if bounds else ChainFault.UNLINKED
            return AuditExport(
                installation=self._keys.installation,
                key=self._keys.published,
                checkpoint=checkpoint,
                head_seq=head.seq,
                head_hash=head.hash,
                bounds=bounds,
                fault=fault.value if fault else None,
            )

        return await self._database.read(read)

    def _fault(
        self,
        connection: Connection,
        head: Link,
        oldest: Link,
        published: AuditAnchored | Break | None,
    ) -> ChainFault | None:
        """Return why nobody may vouch for the chain, as far as it shows without walking it."""
        if self._keys.signer is None:
            return ChainFault.NO_KEY
        if isinstance(published, Break):
            return published.fault
        if published is None or published.seq <= oldest.seq:
            return None
        if published.seq > head.seq:
            return ChainFault.CUT
        stands = _link(connection, published.seq, (head,))
        return None if stands == Link(published.seq, published.hash) else ChainFault.NOT_ANCHORED

    def _bounds(
        self, connection: Connection, request: OpenAuditExport, head: Link, oldest: Link
    ) -> ExportBounds | None:
        """Return the signed bounds; None where a row is missing at one of them."""
        begin_seq = min(head.seq, max(oldest.seq, request.after_seq))
        last_seq = head.seq if request.limit is None else min(head.seq, begin_seq + request.limit)
        before, last = (_link(connection, seq, (oldest, head)) for seq in (begin_seq, last_seq))
        if before is None or last is None or self._keys.signer is None:
            return None
        return sign_bounds(self._keys.signer, before, last, head.seq, self._clock())

    async def read_segment(self, request: ReadAuditSegment) -> AuditSegment:
        """Return rows in their order, and the anchors of these."""

        def read(connection: Connection) -> AuditSegment:
            require_actor(connection, request, Permission.AUDIT_READ)
            rows = read_rows(connection, request.after_seq, request.until_seq, request.limit)
            until_seq = rows[-1].seq if rows else request.after_seq
            anchors = read_anchors(connection, AnchorKind.HEAD, request.after_seq, until_seq)
            return AuditSegment(rows=tuple(rows), anchors=tuple(anchors))

        return await self._database.read(read)


def _link(connection: Connection, seq: int, known: tuple[Link, ...]) -> Link | None:
    """Return a row's link: the table's, or one that is known although the row may be gone."""
    row = connection.execute(select(audit_log.c.hash).filter_by(seq=seq)).one_or_none()
    if row is not None:
        return Link(seq, row.hash)
    return next((one for one in known if one.seq == seq), None)


def _list(connection: Connection, request: ListAudit) -> AuditPage:
    require_actor(connection, request, Permission.AUDIT_READ)
    wanted = {
        "actor_id": as_id(request.actor_id),
        "action": request.action,
        "object_kind": request.object_kind,
        "object_id": as_id(request.object_id),
        "outcome": request.outcome.value if request.outcome else None,
    }
    query = select(audit_log).where(*(audit_log.c[name] == value for name, value in wanted.items() if value))
    if request.from_ms is not None:
        query = query.where(audit_log.c.at_ms >= request.from_ms)
    if request.before_ms is not None:
        query = query.where(audit_log.c.at_ms < request.before_ms)
    if request.before_seq is not None:
        query = query.where(audit_log.c.seq < request.before_seq)
    rows = (
        connection.execute(query.order_by(audit_log.c.seq.desc()).limit(request.limit + 1)).mappings().all()
    )
    page = [AuditRow.model_validate(dict(row)) for row in rows[: request.limit]]
    return AuditPage(
        rows=tuple(page), next_before_seq=page[-1].seq if len(rows) > len(page) and page else None
    )
