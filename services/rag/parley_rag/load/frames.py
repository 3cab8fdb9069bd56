"""How pictures of pages pass the pipe from the reading process; page 0 is a reason why there are no more."""

import struct

_HEADER = struct.Struct(">II")
HEADER_BYTES = _HEADER.size
MAX_PICTURE_BYTES = 64 << 20


def frame(page: int, content: bytes) -> bytes:
    """Return a picture with its page and length before it."""
    return _HEADER.pack(page, len(content)) + content


def parse_header(header: bytes) -> tuple[int, int]:
    """Return the page and the length of what follows."""
    page, length = _HEADER.unpack(header)
    return page, length
