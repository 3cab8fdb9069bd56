"""The place in a list of conversations, or of a conversation's turns, where a page ended: opaque text."""

import base64
import binascii
from dataclasses import dataclass

from parley_contracts.errors import ErrorCode, ParleyError
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

_MAX_CURSOR_CHARS = 2048
_MAX_MS = 2**63 - 1
_PARTS: TypeAdapter[tuple[int, str]] = TypeAdapter(tuple[int, str])


@dataclass(frozen=True, slots=True)
class PageCursor:
    """The last row of a page, by time and id; the next page begins behind it."""

    at_ms: int
    row_id: str

    def encode(self) -> str:
        """Return the cursor as text that is safe in a URL."""
        return base64.urlsafe_b64encode(to_json([self.at_ms, self.row_id])).decode()

    @classmethod
    def decode(cls, text: str) -> "PageCursor":
        """Return what `encode` was given; `invalid_request` for anything else."""
        try:
            if len(text) > _MAX_CURSOR_CHARS:
                raise ValueError("too long")
            at_ms, row_id = _PARTS.validate_json(
                base64.b64decode(text, altchars=b"-_", validate=True), strict=True
            )
            if not 0 <= at_ms <= _MAX_MS:
                raise ValueError("not a time")
        except (ValidationError, ValueError, binascii.Error) as error:
            raise ParleyError(
                ErrorCode.INVALID_REQUEST, "cursor is none that a list has returned.", field="cursor"
            ) from error
        return cls(at_ms, row_id)
