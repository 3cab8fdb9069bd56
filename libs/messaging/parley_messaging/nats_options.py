"""How a connection to nats-server outlasts servers that go away."""

import random
from typing import Any

OUTBOUND_BYTES = 16 * 1024 * 1024
PING_S = 10
DRAIN_S = 3
"""How long closing waits for callbacks; one that nobody drives any more would hold it for ever."""


def lasting_options() -> dict[str, Any]:
    """Return what nats-py is told besides who is who, and whom to tell."""
    return {
        "connect_timeout": 2,
        # The default of 2 s overflows the outbound buffer under load; jitter spreads a fleet.
        "reconnect_time_wait": 0.1 + random.random() * 0.1,
        "max_reconnect_attempts": -1,
        "pending_size": OUTBOUND_BYTES,
        "drain_timeout": DRAIN_S,
        "allow_reconnect": True,
        # A server whose host died sends no FIN: by default that is noticed after four minutes.
        "ping_interval": PING_S,
        "max_outstanding_pings": 2,
    }
