"""Images in requests of models, in the published form of each provider; what is in another form is a fault.

Sources: https://platform.openai.com/docs/guides/images, https://github.com/ollama/ollama/blob/main/docs/api.md,
https://platform.claude.com/docs/en/build-with-claude/vision
"""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

_DATA_URL = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,([A-Za-z0-9+/]+={0,2})")
_SIGNATURES = {
    "image/png": (b"\x89PNG\r\n\x1a\n", 0),
    "image/jpeg": (b"\xff\xd8\xff", 0),
    "image/gif": (b"GIF8", 0),
    "image/webp": (b"WEBP", 8),
}
EYES = "plan:eyes"
"""A model that sees: it answers with what it was shown."""


class WrongImageError(ValueError):
    """An image that the server would refuse."""


def digest(data: bytes) -> str:
    """Return how `plan:eyes` names an image."""
    return sha256(data).hexdigest()[:12]


def openai_images(message: dict[str, Any]) -> Iterator[bytes]:
    """Yield the images of a message in OpenAI's form."""
    content: Any = message.get("content")
    parts: list[dict[str, Any]] = [] if content is None or isinstance(content, str) else content
    for part in parts:
        if part["type"] == "text":
            continue
        if part["type"] != "image_url":
            raise WrongImageError(f"Invalid content type {part['type']}.")
        found = _DATA_URL.fullmatch(str(part["image_url"]["url"]))
        if found is None:
            raise WrongImageError("Failed to download image: no data URL.")
        yield _image(found[1], found[2])


def ollama_images(message: dict[str, Any]) -> Iterator[bytes]:
    """Yield the images of a message in Ollama's form: bare base64, of what it is the content tells."""
    for one in message.get("images") or ():
        data = _decoded(one)
        kind = next((kind for kind, (mark, at) in _SIGNATURES.items() if data[at:].startswith(mark)), None)
        if kind is None:
            raise WrongImageError("image: unknown format")
        yield data


def anthropic_image(block: dict[str, Any]) -> bytes:
    """Return the image of a block of the Messages API."""
    source = block["source"]
    if source.get("type") != "base64" or set(source) != {"type", "media_type", "data"}:
        raise WrongImageError("source: Input should be a valid dictionary")
    return _image(source["media_type"], source["data"])


def described(messages: Sequence[dict[str, Any]]) -> str:
    """Return what a model that sees was shown, in order, and how many characters it was told."""
    seen = [digest(data) for one in messages for data in (*openai_images(one), *ollama_images(one))]
    return f"I see {len(seen)}: {' '.join(seen)}."


def _image(kind: str, text: str) -> bytes:
    data = _decoded(text)
    if kind not in _SIGNATURES:
        raise WrongImageError(f"media_type: {kind} is not supported")
    mark, at = _SIGNATURES[kind]
    if not data[at:].startswith(mark):
        raise WrongImageError(f"Image does not match the provided media type {kind}")
    return data


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise WrongImageError("illegal base64 data at input byte 0") from None
