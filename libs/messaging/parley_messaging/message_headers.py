"""Headers of commands, requests and domain events, written from and read into the trace context."""

import time
from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

from parley_contracts import headers

from parley_messaging.provenance import provenance_header
from parley_messaging.trace_context import TraceContext, continued, current, new_trace


def now_ms() -> int:
    """Return the Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def outgoing(timeout_s: float | None = None, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the headers for a message sent from the current context.

    Args:
        timeout_s: How long the sender waits; the deadline is never later than the context's own.
        extra: More headers.
    """
    context = current() or new_trace()
    deadlines = [] if context.deadline_ms is None else [context.deadline_ms]
    if timeout_s is not None:
        deadlines.append(now_ms() + int(timeout_s * 1000))
    found = {headers.MESSAGE_ID: uuid4().hex, headers.TRACEPARENT: context.traceparent}
    if deadlines:
        found[headers.DEADLINE] = str(min(deadlines))
    if context.correlation_id:
        found[headers.CORRELATION_ID] = context.correlation_id
    if context.message_id:
        found[headers.CAUSATION_ID] = context.message_id
    return {**found, **(extra or {})}


def requesting(timeout_s: float, claims: Mapping[str, str]) -> dict[str, str]:
    """Return the headers for a request: also for whom it is made, and from where that was asked for."""
    return outgoing(timeout_s, {**claims, **provenance_header()})


MAX_DEADLINE_DIGITS = 15
"""Unix milliseconds have 13; what is much longer is no time, and Python refuses to read thousands."""


def incoming(found: Mapping[str, str], subject: str = "") -> TraceContext:
    """Return the context in which a message received on `subject` is to be handled."""
    context = continued(found.get(headers.TRACEPARENT), found.get(headers.CORRELATION_ID, ""))
    deadline = found.get(headers.DEADLINE, "")
    is_time = deadline.isdecimal() and len(deadline) <= MAX_DEADLINE_DIGITS
    return replace(
        context,
        message_id=found.get(headers.MESSAGE_ID, ""),
        deadline_ms=int(deadline) if is_time else None,
        subject=subject,
    )
