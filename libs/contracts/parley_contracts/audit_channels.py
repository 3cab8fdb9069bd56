"""The channels of the audit, a part of the catalogue."""

from functools import partial

from parley_contracts import audit, audit_requests, subjects
from parley_contracts.channel import Channel, ChannelKind, request_channel

_request = partial(request_channel, "accounts")

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
    _request(
        subjects.ACCOUNTS_LIST_AUDIT,
        audit_requests.ListAudit,
        audit_requests.AuditPage,
        "Rows of the audit, the newest first.",
    ),
    _request(
        subjects.ACCOUNTS_OPEN_AUDIT_EXPORT,
        audit_requests.OpenAuditExport,
        audit_requests.AuditExport,
        "What an export begins and ends with.",
    ),
    _request(
        subjects.ACCOUNTS_READ_AUDIT_SEGMENT,
        audit_requests.ReadAuditSegment,
        audit_requests.AuditSegment,
        "Rows of the audit in their order, for an export.",
    ),
    _request(
        subjects.ACCOUNTS_CHECK_AUDIT,
        audit_requests.CheckAudit,
        audit_requests.AuditVerdict,
        "Does the audit's chain hold?",
    ),
)
