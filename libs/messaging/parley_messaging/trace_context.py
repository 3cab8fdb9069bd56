"""W3C trace context (https://www.w3.org/TR/trace-context/) and correlation, carried from hop to hop."""

import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where in which trace the current work stands.

    Attributes:
        trace_id: 32 hex digits.
        span_id: 16 hex digits, of the current hop.
        correlation_id: What the work belongs to: a turn id, or empty.
        message_id: The message being handled, or empty.
        deadline_ms: When the caller stops waiting, Unix epoch; None is no limit.
        subject: What the request being handled came on, or empty; the bus has checked who may publish there.
    """

    trace_id: str
    span_id: str
    correlation_id: str = ""
    message_id: str = ""
    deadline_ms: int | None = None
    subject: str = ""

    @property
    def traceparent(self) -> str:
        """The header that passes the trace on."""
        return f"00-{self.trace_id}-{self.span_id}-01"


_CURRENT: ContextVar[TraceContext | None] = ContextVar("parley_trace_context", default=None)


def new_trace(correlation_id: str = "") -> TraceContext:
    """Return the root of a new trace."""
    return TraceContext(secrets.token_hex(16), secrets.token_hex(8), correlation_id)


def continued(traceparent: str | None, correlation_id: str = "") -> TraceContext:
    """Return a new span under `traceparent`, or a new trace when it is absent or malformed."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if not found:
        return new_trace(correlation_id)
    return TraceContext(found.group(1), secrets.token_hex(8), correlation_id)


def current() -> TraceContext | None:
    """Return the context of the work being done, or None outside of any."""
    return _CURRENT.get()


@contextmanager
def working_in(context: TraceContext) -> Generator[TraceContext]:
    """Do the body's work in `context`."""
    token = _CURRENT.set(context)
    try:
        yield context
    finally:
        _CURRENT.reset(token)


def correlated(correlation_id: str) -> TraceContext:
    """Return the current context (or a new trace) for work that belongs to `correlation_id`."""
    context = _CURRENT.get()
    return replace(context, correlation_id=correlation_id) if context else new_trace(correlation_id)
