"""What nats-server refuses a user for want of a permission: it tells only the connection's error callback."""

import logging
import re
import time

log = logging.getLogger("parley.messaging")

QUIET_S = 1.0
"""A loop that is refused says so once in this time; each refusal counts."""

_REFUSED = re.compile(
    r"permissions violation for (?P<action>publish|subscription) to \"(?P<subject>[^\"]*)\"", re.IGNORECASE
)
_UNKNOWN = re.compile(
    r"authorization violation|certificate verify failed|wrong version number", re.IGNORECASE
)


class Refusals:
    """Counts and logs what the bus refuses."""

    def __init__(self) -> None:
        self.count = 0
        self.door = ""
        self._quiet_until_s = float("-inf")

    def take(self, error: Exception) -> bool:
        """Return whether an error was the refusal of one subject; it is logged then."""
        text = str(error)
        if _UNKNOWN.search(text):
            self.door = text.removeprefix("nats: ").strip("'")
        found = _REFUSED.search(text)
        if found is None:
            return False
        self.count += 1
        now_s = time.monotonic()
        if now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + QUIET_S
            log.error(
                "the bus refuses what this user has no permission for",
                extra={
                    "action": found["action"].lower(),
                    "subject": found["subject"],
                    "refusals": self.count,
                },
            )
        return True
