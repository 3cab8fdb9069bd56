"""The parts of the audit, put together."""

from dataclasses import dataclass

from parley_storage import Database

from parley_accounts.audit_anchors import AnchorBus, AuditAnchors
from parley_accounts.audit_keys import AuditKeys, prepared_keys
from parley_accounts.audit_log import AuditLog
from parley_accounts.clock import Clock
from parley_accounts.key_ring import KeyRing


@dataclass(frozen=True, slots=True)
class AuditParts:
    """What keeps the audit."""

    log: AuditLog
    keys: AuditKeys
    anchors: AuditAnchors


async def audit_parts(
    database: Database, ring: KeyRing, bus: AnchorBus, *, anchor_s: float, clock: Clock
) -> AuditParts:
    """Return them over a database whose installation is prepared."""
    log = AuditLog(database, clock=clock)
    await log.prepare()
    keys = await prepared_keys(database, ring, clock=clock)
    anchors = AuditAnchors(database, bus, keys, every_s=anchor_s, clock=clock)
    return AuditParts(log, keys, anchors)
