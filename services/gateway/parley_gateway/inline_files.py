"""Files that stand in a request itself, as OpenAI's content parts have them: decoded, bounded and told apart.

Sources: https://platform.openai.com/docs/guides/images-vision, https://platform.openai.com/docs/guides/pdf-files
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from parley_contracts.attachments import IMAGE_TYPES, MAX_TURN_ATTACHMENTS, MAX_TURN_BYTES, attachment_id
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.file_names import name_fault
from parley_contracts.rag import MAX_NAME_CHARS

from parley_gateway.file_contents import content_type_of

_DATA_URL = re.compile(r"data:[^,;]*(?:;[^,;]*)*?;base64,", re.IGNORECASE)
_MAX_HEAD_CHARS = 300
_ID = re.compile(r"[0-9a-f]{32}")
_SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A file that is to be kept and sent."""

    name: str
    content_type: str
    data: bytes
    sha256: str

    @property
    def is_image(self) -> bool:
        """Whether only a model that sees can be given it."""
        return self.content_type in IMAGE_TYPES


class InlineFiles:
    """The files of one request. Each gets the id that it is kept by, though nothing is kept yet."""

    def __init__(self, owner_id: str, *, max_bytes: int) -> None:
        self._owner_id = owner_id
        self._max_bytes = max_bytes
        self._left_bytes = MAX_TURN_BYTES
        self._found: dict[str, InlineFile] = {}

    @property
    def found(self) -> Mapping[str, InlineFile]:
        """The files by their ids."""
        return self._found

    def image(self, url: str, field: str) -> str:
        """Return the id of an image that a data URL holds.

        Raises:
            ParleyError: `invalid_request` for another address, `unsupported_type`, `too_large`.
        """
        if url[:5].lower() != "data:":
            message = f"{field}: addresses are not fetched; give the image as a data: URL, or upload it."
            raise ParleyError(ErrorCode.INVALID_REQUEST, message, field=field)
        data = self._decoded(url, field)
        kind = content_type_of(data, "", field=field)
        if kind not in IMAGE_TYPES:
            message = f"{field}: that is no PNG, JPEG, WebP or GIF image."
            raise ParleyError(ErrorCode.UNSUPPORTED_TYPE, message, field=field)
        return self._add(f"image.{_SUFFIXES[kind]}", kind, data, field)

    def file(self, content: str, name: str | None, field: str) -> str:
        """Return the id of a file that is given as base64, with or without what a data URL begins with.

        Raises:
            ParleyError: As `image`.
        """
        name = (name or "").strip() or "file.txt"
        fault = name_fault(name) or (f"more than {MAX_NAME_CHARS}" if len(name) > MAX_NAME_CHARS else None)
        if fault is not None:
            message = f"{field}: that is no name for a file."
            raise ParleyError(ErrorCode.INVALID_REQUEST, message, field=field)
        data = self._decoded(content, field)
        return self._add(name, content_type_of(data, name, field=field), data, field)

    def known(self, file_id: str, field: str) -> str:
        """Return the id of an attachment that is named; whose it is, the service that keeps it says."""
        if not _ID.fullmatch(file_id):
            raise ParleyError(ErrorCode.NOT_FOUND, "There is no such attachment.", field=field)
        return file_id

    def _decoded(self, content: str, field: str) -> bytes:
        head = _DATA_URL.match(content[:_MAX_HEAD_CHARS])
        body = content[head.end() :] if head else content
        # Four characters hold three bytes.
        if len(body) // 4 * 3 > min(self._max_bytes, self._left_bytes) + 2:
            raise self._too_large(field)
        try:
            data = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            message = f"{field}: base64 is expected."
            raise ParleyError(ErrorCode.INVALID_REQUEST, message, field=field) from None
        if not data:
            raise ParleyError(ErrorCode.INVALID_REQUEST, f"{field}: the file is empty.", field=field)
        return data

    def _add(self, name: str, content_type: str, data: bytes, field: str) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        found = attachment_id(self._owner_id, name, content_type, sha256)
        if found not in self._found:
            if len(data) > min(self._max_bytes, self._left_bytes) or len(self._found) >= MAX_TURN_ATTACHMENTS:
                raise self._too_large(field)
            self._left_bytes -= len(data)
            self._found[found] = InlineFile(name, content_type, data, sha256)
        return found

    def _too_large(self, field: str) -> ParleyError:
        message = (
            f"{field}: a file has at most {self._max_bytes} bytes, and those of a request at most "
            f"{MAX_TURN_BYTES} bytes and {MAX_TURN_ATTACHMENTS} files."
        )
        return ParleyError(ErrorCode.TOO_LARGE, message, field=field)
