"""One original on its way to a client: whole, or the range that he asks for (RFC 9110, section 14)."""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from parley_envelope import SealError
from parley_envelope.originals import cannot_open
from parley_envelope.sealed_objects import Content
from starlette.responses import Response, StreamingResponse

_ONE_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a file; `stop` is the byte behind its last."""

    start: int
    stop: int


class UnsatisfiableRangeError(Exception):
    """Nothing of the file lies in the range."""


def read_range(header: str | None, size: int) -> Span | None:
    """Return the span that is asked for; None for all of it, and for what is several ranges or none.

    Raises:
        UnsatisfiableRangeError: It lies behind the end, or is empty.
    """
    found = _ONE_RANGE.fullmatch(header) if header else None
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        span = Span(max(0, size - int(found[2])), size)
    else:
        last = int(found[2]) if found[2] else size - 1
        if found[2] and last < int(found[1]):
            return None  # no range: to be ignored
        span = Span(int(found[1]), min(size, last + 1))
    if span.start >= span.stop:
        raise UnsatisfiableRangeError
    return span


async def download(
    content: Content, *, media_type: str, headers: dict[str, str], wanted: str | None
) -> Response:
    """Return the response with a content, or a range of it; ParleyError when its beginning cannot be read."""
    size = content.size_bytes
    headers = {**headers, "Accept-Ranges": "bytes"}
    try:
        span = read_range(wanted, size)
    except UnsatisfiableRangeError:
        await content.close()
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    whole = span or Span(0, size)
    pieces = content.span(whole.start, whole.stop)
    try:
        first = await anext(pieces, b"")
    except SealError as error:
        raise cannot_open() from error
    headers["Content-Length"] = str(whole.stop - whole.start)
    if span is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
    return StreamingResponse(
        _after(first, pieces), 206 if span else 200, media_type=media_type, headers=headers
    )


async def _after(first: bytes, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Yield all pieces; one that does not open breaks the answer off, short of the length it has told."""
    async with aclosing(pieces):
        yield first
        async for piece in pieces:
            yield piece
