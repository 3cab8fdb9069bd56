"""Server-sent events out of bytes as they come: the data of each.

Source of the format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from parley_llm.backends.byte_records import RecordReader

_FIELD = b"data:"
_USUAL = b"data: "
_NAMED = b"event:"
_NEXT = b"\ndata: "


class EventReader:
    """Cuts received bytes into events. Comments and fields other than `data` are left out."""

    def __init__(self) -> None:
        self._events = RecordReader(b"\n\n")
        self._ends_with_cr = False

    def feed(self, received: bytes) -> list[bytes]:
        """Return the data of the events that are whole now.

        Raises:
            RecordTooLongError: An event is longer than one may be.
        """
        if self._ends_with_cr or b"\r" in received:
            received = self._with_plain_ends(received)
        found: list[bytes] = []
        for event in self._events.feed(received):
            # Nearly every event is one line: its data needs no looking for.
            if event.startswith(_USUAL) and b"\n" not in event:
                found.append(event[len(_USUAL) :])
            elif event.startswith(_NAMED) and event.count(b"\n") == 1 and _NEXT in event:
                # Or its name and one line, as Anthropic has it.
                found.append(event[event.index(_NEXT) + len(_NEXT) :])
            else:
                found += _data_of(event)
        return found

    def close(self) -> list[bytes]:
        """Return the data of a last event whose end was not sent: some servers leave it out."""
        return _data_of(self._events.close())

    def _with_plain_ends(self, received: bytes) -> bytes:
        """Return the bytes with each line end as one; CR and LF of a pair may come apart."""
        if self._ends_with_cr and received:
            received = received.removeprefix(b"\n")
            self._ends_with_cr = False
        self._ends_with_cr = self._ends_with_cr or received.endswith(b"\r")
        return received.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _data_of(event: bytes) -> list[bytes]:
    """Return the data of an event as the one item of a list; none when it holds none."""
    lines = [line[len(_FIELD) :] for line in event.split(b"\n") if line.startswith(_FIELD)]
    return [b"\n".join(line.removeprefix(b" ") for line in lines)] if lines else []
