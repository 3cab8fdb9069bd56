"""Names of the headers that commands, requests and domain events carry. Turn events carry none."""

MESSAGE_ID = "Parley-Message-Id"
"""Unique to one message."""

CORRELATION_ID = "Parley-Correlation-Id"
"""What the message belongs to: the turn id for everything done for a turn."""

CAUSATION_ID = "Parley-Causation-Id"
"""The message id of the message that led to this one."""

DEADLINE = "Parley-Deadline"
"""When the sender stops waiting: milliseconds since the Unix epoch, as decimal text."""

TURN = "Parley-Turn"
"""On `turn.start`: the command without what the user wrote, as one line of JSON in ASCII, to end it by."""

TRACEPARENT = "traceparent"
"""W3C Trace Context (https://www.w3.org/TR/trace-context/)."""

PROVENANCE = "Parley-Provenance"
"""On requests: from where they were asked for, as one line of JSON in ASCII (`audit.Provenance`)."""

SERVICE_ERROR = "Nats-Service-Error"
"""On error replies: text for people (NATS ADR-32)."""

SERVICE_ERROR_CODE = "Nats-Service-Error-Code"
"""On error replies: an HTTP-like number (NATS ADR-32)."""

CLAIMS = "Parley-Claims"
"""For whom the message is sent, signed: a compact JWS (`claims.BusClaims`)."""
