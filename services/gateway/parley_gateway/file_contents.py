"""What a file that is to be sent to a model is: told by its content, and by its name only among texts."""

from pathlib import PurePosixPath

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.file_names import CONTROL_CHARACTERS

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_RIFF, _WEBP, _WEBP_AT = b"RIFF", b"WEBP", 8
_TEXTS = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
}
_MAX_CONTROL_SHARE = 0.01
_SHOWN_CONTROLS = "\t\n\r\f"
KINDS = "PNG, JPEG, WebP and GIF images, and texts in UTF-8"


def content_type_of(data: bytes, name: str, *, field: str = "file") -> str:
    """Return the media type of a file; ParleyError `unsupported_type` for what no model is given."""
    for signature, found in _SIGNATURES:
        if data.startswith(signature):
            return found
    if data.startswith(_RIFF) and data[_WEBP_AT : _WEBP_AT + len(_WEBP)] == _WEBP:
        return "image/webp"
    if not _is_text(data):
        message = f"{field}: models are given {KINDS}; upload others as documents."
        raise ParleyError(ErrorCode.UNSUPPORTED_TYPE, message, field=field)
    return _TEXTS.get(PurePosixPath(name.lower()).suffix, "text/plain")


def _is_text(data: bytes) -> bool:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    strange = sum(1 for one in CONTROL_CHARACTERS.finditer(text) if one[0] not in _SHOWN_CONTROLS)
    return "\0" not in text and strange <= _MAX_CONTROL_SHARE * len(text)
