"""The channels about usage, a part of the catalogue."""

from functools import partial

from parley_contracts import subjects, usage
from parley_contracts.channel import Channel, request_channel

_request = partial(request_channel, "accounts")

USAGE_CHANNELS: tuple[Channel, ...] = (
    _request(
        subjects.ACCOUNTS_RECORD_USAGE,
        usage.RecordUsage,
        usage.UsageTotals,
        "Count what a turn has cost, once; the answer is what its scopes have spent.",
    ),
    _request(
        subjects.ACCOUNTS_READ_TOTALS,
        usage.ReadTotals,
        usage.UsageTotals,
        "What scopes have spent in periods.",
    ),
    _request(
        subjects.ACCOUNTS_READ_USAGE, usage.ReadUsage, usage.UsageReport, "What was spent, by day and model."
    ),
)
