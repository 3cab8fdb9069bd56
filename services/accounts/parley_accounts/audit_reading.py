"""Rows of the audit for those who may read it: found by what they say, or all of them in their order."""

from functools import partial

from parley_contracts.audit import AnchorKind, AuditRow, as_id
from parley_contracts.audit_requests import (
    AuditExport,
    AuditPage,
    AuditSegment,
    ListAudit,
    OpenAuditExport,
    ReadAuditSegment,
)
from parley_contracts.policy import Permission
from parley_storage import Database
from sqlalchemy import Connection, select

from parley_accounts.acting import require_actor
from parley_accounts.audit_anchors import newest_anchor, read_anchors, read_rows
from parley_accounts.audit_keys import AuditKeys
from parley_accounts.audit_rows import HEAD
from parley_accounts.tables import audit_head, audit_log


class AuditReading:
    """Answers who has `audit:read`; it changes nothing."""

    def __init__(self, database: Database, keys: AuditKeys) -> None:
        self._database = database
        self._keys = keys

    async def list(self, request: ListAudit) -> AuditPage:
        """Return a page of rows, the newest first."""
        return await self._database.read(partial(_list, request=request))

    async def open_export(self, request: OpenAuditExport) -> AuditExport:
        """Return what an export begins and ends with."""

        def read(connection: Connection) -> AuditExport:
            require_actor(connection, request, Permission.AUDIT_READ)
            head = connection.execute(select(audit_head).filter_by(name=HEAD)).one()
            return AuditExport(
                installation=self._keys.signer.installation,
                key=self._keys.published,
                checkpoint=newest_anchor(connection, AnchorKind.CHECKPOINT),
                head_seq=head.seq,
                head_hash=head.hash,
            )

        return await self._database.read(read)

    async def read_segment(self, request: ReadAuditSegment) -> AuditSegment:
        """Return rows in their order, and the anchors of these."""

        def read(connection: Connection) -> AuditSegment:
            require_actor(connection, request, Permission.AUDIT_READ)
            rows = read_rows(connection, request.after_seq, request.until_seq, request.limit)
            until_seq = rows[-1].seq if rows else request.after_seq
            anchors = read_anchors(connection, AnchorKind.HEAD, request.after_seq, until_seq)
            return AuditSegment(rows=tuple(rows), anchors=tuple(anchors))

        return await self._database.read(read)


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
