"""Adjacent `text_delta` or `reasoning_delta` frames as one: their JSON strings joined, unparsed.

The contents of a JSON string are whole characters and whole escapes, so that the contents of two joined
are the contents of their texts joined.
"""

import re

MERGED_BYTES = 64 * 1024
"""Text of one merged frame; what comes after it begins the next one."""

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_HEAD = rb'"type":"(?:text|reasoning)_delta","turn_id":' + _STRING
# Anything else about a frame, a further field for instance, keeps it as it is.
_DELTA = re.compile(
    rb'\{"seq":([0-9]+),(' + _HEAD + rb'),"text":(' + _STRING + rb")\}",
    re.DOTALL,
)


class MergedDeltas:
    """One frame to be: the deltas of one turn that wait for a socket, with the last one's `seq`."""

    __slots__ = ("_contents", "_head", "_seq", "is_closed")

    def __init__(self, seq: bytes, head: bytes, contents: bytes) -> None:
        self._seq = seq
        self._head = head
        # Appending to a bytearray is linear in what is appended, and keeps no object for each delta.
        self._contents = bytearray(contents)
        self.is_closed = False

    def take(self, found: re.Match[bytes]) -> int | None:
        """Add a delta and return by how many bytes the frame grew; None when it has to stand alone."""
        seq, head, text = found.groups()
        size = len(text) - 2
        if self.is_closed or head != self._head or len(self._contents) + size > MERGED_BYTES:
            return None
        self._seq = seq
        self._contents += memoryview(text)[1:-1]
        return size

    def frame(self) -> bytes:
        """Return the frame as it stands; nothing is added after that."""
        self.is_closed = True
        return b'{"seq":%b,%b,"text":"%b"}' % (self._seq, self._head, self._contents)


def read_delta(frame: bytes) -> re.Match[bytes] | None:
    """Return the parts of a delta's frame; None for any other frame."""
    return _DELTA.fullmatch(frame)


def begin_merge(found: re.Match[bytes]) -> MergedDeltas:
    """Return a frame to be that holds one delta so far."""
    seq, head, text = found.groups()
    return MergedDeltas(seq, head, text[1:-1])
