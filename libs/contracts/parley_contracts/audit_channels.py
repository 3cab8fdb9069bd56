"""The channels of the audit, a part of the catalogue."""

from parley_contracts import audit, subjects
from parley_contracts.channel import Channel, ChannelKind

AUDIT_CHANNELS: tuple[Channel, ...] = (
    Channel(
        subjects.ALL_AUDIT_EVENTS,
        ChannelKind.EVENT,
        "AUDIT",
        (audit.AuditEvent,),
        "the service named",
        "accounts",
        "Somebody did something, or tried to; each service tells it on its own subject.",
        parameters=("service",),
    ),
    Channel(
        subjects.AUDIT_ANCHORED,
        ChannelKind.EVENT,
        "AUDIT",
        (audit.AuditAnchored,),
        "accounts",
        "whoever verifies the audit",
        "The audit's chain was signed as far as it goes.",
    ),
)
