"""Server-sent events out of bytes as they come: the data of each.

Source of the format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

MAX_EVENT_BYTES = 1_048_576
_DATA = b"data:"


class EventTooLongError(Exception):
    """Raised when an event has no end within what is held in memory."""


class EventReader:
    """Cuts received bytes into events. Each `data` line is one: JSON APIs put theirs on one line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, received: bytes) -> list[bytes]:
        """Return the data of the events that are whole now; comments and other fields are left out.

        Raises:
            EventTooLongError: A line is longer than an event may be.
        """
        *lines, self._rest = (self._rest + received).split(b"\n")
        if len(self._rest) > MAX_EVENT_BYTES:
            raise EventTooLongError
        return [line[len(_DATA) :].strip() for line in lines if line.startswith(_DATA)]
