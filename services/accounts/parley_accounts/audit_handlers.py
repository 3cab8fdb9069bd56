"""The parts of the audit, put together and bound to the bus."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from parley_contracts import audit_requests as asked
from parley_contracts import subjects
from parley_messaging import Bus, Service, queues
from parley_storage import Database

from parley_accounts.audit_anchors import AuditAnchors
from parley_accounts.audit_gaps import AuditGaps
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
    gaps: AuditGaps
    keys: AuditKeys
    anchors: AuditAnchors
    outbox: Outbox
    reading: AuditReading
    verification: AuditVerification
    retention: AuditRetention

    @property
    def endless(self) -> tuple[Callable[[], Coroutine[Any, Any, None]], ...]:
        """What runs until the process stops."""
        return (self.outbox.run, self.anchors.run, self.gaps.run, self.retention.run)

    @property
    def broken(self) -> dict[str, float]:
        """By which part the chain was found broken: 1, or else 0."""
        parts = {"anchors": self.anchors, "retention": self.retention, "verification": self.verification}
        return {name: float(part.broken is not None) for name, part in parts.items()}


def bind_audit(service: Service, parts: AuditParts) -> None:
    """Copy the stream into the table, and have what accounts itself does told as soon as it is committed."""
    service.work_raw(queues.AUDIT, parts.gaps.take, slots=SLOTS)
    service.measures.gauge(
        "parley_audit_broken",
        "1 while the audit's chain is known not to hold, by the part that found it; the log says where.",
        lambda: parts.broken,
        label="found_by",
    )
    service.measures.counter(
        "parley_audit_missing",
        "Events that were gone from the audit's stream before they were copied; the audit says how many.",
        lambda: parts.gaps.missing,
    )
    service.bus.audit.on_written(parts.outbox.wake)
    reading = parts.reading
    service.answer(subjects.ACCOUNTS_LIST_AUDIT, asked.ListAudit, reading.list)
    service.answer(subjects.ACCOUNTS_OPEN_AUDIT_EXPORT, asked.OpenAuditExport, reading.open_export)
    service.answer(subjects.ACCOUNTS_READ_AUDIT_SEGMENT, asked.ReadAuditSegment, reading.read_segment)
    service.answer(subjects.ACCOUNTS_CHECK_AUDIT, asked.CheckAudit, parts.verification.check)


async def audit_parts(
    settings: AccountsSettings, database: Database, ring: KeyRing, bus: Bus, clock: Clock
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
        gaps=AuditGaps(database, bus, log, every_s=settings.accounts_audit_anchor_s),
        keys=keys,
        anchors=anchors,
        outbox=outbox,
        reading=AuditReading(database, bus, keys, clock=clock),
        verification=AuditVerification(database, bus, keys),
        retention=retention,
    )
