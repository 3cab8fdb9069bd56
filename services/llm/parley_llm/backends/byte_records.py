"""Whole records out of bytes as they come, such as the lines of a stream."""

MAX_RECORD_BYTES = 1_048_576


class RecordTooLongError(Exception):
    """Raised when a record has no end within what is held in memory."""


class RecordReader:
    """Cuts received bytes at each end mark."""

    def __init__(self, end_mark: bytes) -> None:
        self._end_mark = end_mark
        self._rest = b""

    def feed(self, received: bytes) -> list[bytes]:
        """Return the records that are whole now, without their end marks.

        Raises:
            RecordTooLongError: A record is longer than one may be.
        """
        rest = self._rest
        records = (rest + received if rest else received).split(self._end_mark)
        self._rest = rest = records.pop()
        if len(rest) > MAX_RECORD_BYTES:
            raise RecordTooLongError
        return records

    def close(self) -> bytes:
        """Return what came after the last end mark."""
        rest, self._rest = self._rest, b""
        return rest
