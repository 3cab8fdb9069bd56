"""The parts of the audit, put together and bound to the bus."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from parley_contracts import audit_requests as asked
from parley_contracts import subjects
from parley_messaging import Service, queues
from parley_storage import Database

from parley_accounts.audit_anchors import AnchorBus, AuditAnchors
from parley_accounts.audit_keys import AuditKeys, prepared_keys
from parley_accounts.audit_log import SLOTS, AuditLog
from parley_accounts.audit_reading import AuditReading
from parley_accounts.audit_retention import AuditRetention
from parley_accounts.audit_verification import AuditVerification
from parley_accounts.clock import Clock
from parley_accounts.key_ring import KeyRing
from parley_accounts.outbox import Outbox
from parley_accounts.settings import AccountsSettings


@dataclass(frozen=True, slots=True)
class AuditParts:
    """What keeps the audit."""

    log: AuditLog
    keys: AuditKeys
    anchors: AuditAnchors
    outbox: Outbox
    reading: AuditReading
    verification: AuditVerification
    retention: AuditRetention

    @property
    def endless(self) -> tuple[Callable[[], Coroutine[Any, Any, None]], ...]:
        """What runs until the process stops."""
        return (self.outbox.run, self.anchors.run, self.retention.run)


def bind_audit(service: Service, parts: AuditParts) -> None:
    """Copy the stream into the table, and have what accounts itself does told as soon as it is committed."""
    service.work_raw(queues.AUDIT, parts.log.take, slots=SLOTS)
    service.bus.audit.on_written(parts.outbox.wake)
    reading = parts.reading
    service.answer(subjects.ACCOUNTS_LIST_AUDIT, asked.ListAudit, reading.list)
    service.answer(subjects.ACCOUNTS_OPEN_AUDIT_EXPORT, asked.OpenAuditExport, reading.open_export)
    service.answer(subjects.ACCOUNTS_READ_AUDIT_SEGMENT, asked.ReadAuditSegment, reading.read_segment)
    service.answer(subjects.ACCOUNTS_CHECK_AUDIT, asked.CheckAudit, parts.verification.check)


async def audit_parts(
    settings: AccountsSettings, database: Database, ring: KeyRing, bus: AnchorBus, clock: Clock
) -> AuditParts:
    """Return them over a database whose installation is prepared."""
    log = AuditLog(database, clock=clock)
    await log.prepare()
    keys = await prepared_keys(database, ring, clock=clock)
    anchors = AuditAnchors(database, bus, keys, every_s=settings.accounts_audit_anchor_s, clock=clock)
    outbox = Outbox(database, bus, is_of_audit=True, sweep_s=settings.accounts_sweep_s)
    retention = AuditRetention(database, keys, log, days=settings.accounts_audit_days, clock=clock)
    return AuditParts(
        log=log,
        keys=keys,
        anchors=anchors,
        outbox=outbox,
        reading=AuditReading(database, keys),
        verification=AuditVerification(database, bus, keys),
        retention=retention,
    )
