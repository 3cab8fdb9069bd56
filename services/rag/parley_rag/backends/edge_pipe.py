"""How the processes of the vector index frame what they say: a length, then one marshalled value.

The service sends (number, operation, *arguments) and is answered (number, whether it succeeded, result).
The builder of a shard is sent lists of passages, the last one empty.
"""

import marshal
import struct
from collections.abc import Iterator
from typing import Any

LENGTH = struct.Struct("<I")


def framed(value: Any) -> bytes:
    """Return a value as it travels."""
    body = marshal.dumps(value)
    return LENGTH.pack(len(body)) + body


class Frames:
    """Collects bytes and gives the values that are whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def add(self, data: bytes) -> Iterator[Any]:
        """Yield the values that end in `data`."""
        self._buffer += data
        while len(self._buffer) >= LENGTH.size:
            end = LENGTH.size + LENGTH.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                return
            value = marshal.loads(memoryview(self._buffer)[LENGTH.size : end].tobytes())
            del self._buffer[:end]
            yield value
