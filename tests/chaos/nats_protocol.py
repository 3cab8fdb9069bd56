"""The NATS client protocol, read as it passes: whole operations out of a stream of bytes."""

from collections.abc import Iterator
from dataclasses import dataclass

LINE_BYTES = 1024 * 1024
"""A line without an end is no NATS; the longest is the server's INFO, of some hundreds of bytes."""

_END = b"\r\n"
_WITH_PAYLOAD = {"PUB": False, "MSG": False, "HPUB": True, "HMSG": True}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of either side; `raw` is all of its bytes.

    Attributes:
        raw: What goes over the wire.
        name: `PUB`, `HPUB`, `MSG`, `HMSG`, `PING`, `INFO` and so on, in capitals.
        subject: Of a message.
        reply: Where an answer to a message is expected, or empty.
        headers: The header block of a message, its status line included.
        data: The body of a message.
    """

    raw: bytes
    name: str
    subject: str = ""
    reply: str = ""
    headers: bytes = b""
    data: bytes = b""

    @property
    def is_message(self) -> bool:
        return self.name in _WITH_PAYLOAD

    @property
    def is_published(self) -> bool:
        return self.name in ("PUB", "HPUB")


class OperationReader:
    """Takes bytes as they come and hands out operations as they become whole."""

    def __init__(self) -> None:
        self._left = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Operation]:
        """Yield the operations that `chunk` completes; ValueError for what is no NATS."""
        self._left += chunk
        while (operation := self._next()) is not None:
            yield operation

    def _next(self) -> Operation | None:
        line_end = self._left.find(_END)
        if line_end < 0:
            if len(self._left) > LINE_BYTES:
                raise ValueError("a line of NATS without an end")
            return None
        line = self._left[:line_end].decode()
        name, _, rest = line.partition(" ")
        name = name.upper()
        if name not in _WITH_PAYLOAD:
            return Operation(self._cut(line_end + 2), name)
        fields = rest.split()
        size = int(fields[-1])
        whole = line_end + 2 + size + 2
        if len(self._left) < whole:
            return None
        raw = self._cut(whole)
        payload = raw[line_end + 2 : -2]
        header_bytes = 0
        if _WITH_PAYLOAD[name]:
            header_bytes = int(fields[-2])
        return Operation(
            raw, name, fields[0], _reply(name, fields), payload[:header_bytes], payload[header_bytes:]
        )

    def _cut(self, count: int) -> bytes:
        raw = bytes(self._left[:count])
        del self._left[:count]
        return raw


def _reply(name: str, fields: list[str]) -> str:
    """Return the reply subject, which stands before the sizes and may be left out."""
    sizes = 2 if _WITH_PAYLOAD[name] else 1
    before = 1 if name in ("PUB", "HPUB") else 2
    return fields[before] if len(fields) == before + 1 + sizes else ""
