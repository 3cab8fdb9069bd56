"""Streams sealed while they are read, and opened from any place on; never whole in memory."""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from parley_envelope.envelope import SealError
from parley_envelope.segments import (
    SEGMENT_BYTES,
    DataKey,
    Header,
    Layout,
    Name,
    SegmentCipher,
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer


class SealingReader(io.RawIOBase):
    """A file that is read sealed: each read takes as much of the source as it needs."""

    def __init__(self, source: BinaryIO, key: DataKey, name: Name) -> None:
        super().__init__()
        self._source = source
        header = Header.new(key)
        self._cipher = SegmentCipher(header, key, name)
        self._next = _read_full(source)
        self._number = 0
        self._is_done = False
        self._waiting = memoryview(header.raw)

    def readable(self) -> bool:
        """Return True: it is there to be read."""
        return True

    def readinto(self, into: "Buffer", /) -> int:
        """Fill a buffer as far as there is content; 0 is the end."""
        view, filled = memoryview(into).cast("B"), 0
        while filled < len(view):
            if not self._waiting:
                if self._is_done:
                    break
                self._waiting = memoryview(self._sealed())
            size = min(len(view) - filled, len(self._waiting))
            view[filled : filled + size] = self._waiting[:size]
            self._waiting = self._waiting[size:]
            filled += size
        return filled

    def _sealed(self) -> bytes:
        plain = self._next
        # Only what follows tells whether a full segment is the last.
        self._next = _read_full(self._source) if len(plain) == SEGMENT_BYTES else b""
        self._is_done = not self._next
        number, self._number = self._number, self._number + 1
        return self._cipher.seal(number, plain, is_last=self._is_done)


def _read_full(source: BinaryIO) -> bytes:
    """Return a whole segment, or what is left: a pipe or a socket gives less than is asked for."""
    found = source.read(SEGMENT_BYTES)
    while found and len(found) < SEGMENT_BYTES and (more := source.read(SEGMENT_BYTES - len(found))):
        found += more
    return found


class Opening:
    """Opens a span of a stream out of the sealed bytes that are fed to it, beginning at `offset`.

    Args:
        cipher: Of the stream.
        layout: Of what is stored.
        start: First byte of the content that is wanted.
        stop: The byte behind the last one.
    """

    def __init__(self, cipher: SegmentCipher, layout: Layout, start: int, stop: int) -> None:
        if not 0 <= start <= stop <= layout.plain_bytes:
            raise ValueError("a span lies outside of the content")
        self._cipher = cipher
        self._layout = layout
        self._start, self._stop = start, stop
        # Of an empty content its one segment is opened as well: it may have been cut to that.
        self._number = min(start // SEGMENT_BYTES, layout.segments - 1)
        self._end = max(self._number + 1, -(-stop // SEGMENT_BYTES))
        self._fed = bytearray()
        self.offset = layout.offset_of(self._number)

    @property
    def is_done(self) -> bool:
        """Whether all that is wanted has been opened."""
        return self._number == self._end

    def feed(self, sealed: bytes) -> Iterator[bytes]:
        """Yield what these bytes complete; SealError at the first segment that is not what it should be."""
        self._fed += sealed
        while not self.is_done:
            size = self._layout.sealed_bytes_of(self._number)
            if len(self._fed) < size:
                return
            piece = bytes(self._fed[:size])
            del self._fed[:size]
            yield self._opened(piece)

    def _opened(self, piece: bytes) -> bytes:
        number, first = self._number, self._number * SEGMENT_BYTES
        plain = self._cipher.open(number, piece, is_last=number == self._layout.segments - 1)
        self._number += 1
        return plain[max(0, self._start - first) : self._stop - first]

    def finish(self) -> None:
        """Raise SealError when not all has come that is wanted."""
        if not self.is_done:
            raise SealError("a stored stream was cut")
