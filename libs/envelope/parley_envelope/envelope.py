"""Secrets at rest: AES-256-GCM under a key that is kept elsewhere, and that the sealed text names."""

import base64
import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = "v1"


class SealError(ValueError):
    """What was sealed cannot be opened: by this key, for this purpose, or at all."""


def parse_key(text: str) -> bytes:
    """Return the key that 64 hex digits stand for; ValueError, which does not repeat them, otherwise."""
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError("a key-encryption key is 64 hex digits")
    return key


def prefix_of(name: str) -> str:
    """Return what text begins with that the named key has sealed."""
    return f"{_VERSION}.{name}."


def key_name(sealed: str) -> str:
    """Return the name of the key that has sealed a text; SealError when it names none."""
    version, _, rest = sealed.partition(".")
    name, dot, _ = rest.partition(".")
    if version != _VERSION or not dot:
        raise SealError("a stored secret is of no known form")
    return name


class Envelope:
    """Seals secrets and opens them, each for one purpose: one row's cannot stand in another's place."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self.name = hashlib.sha256(b"parley key-encryption key" + key).hexdigest()[:16]

    def seal(self, secret: bytes, *, purpose: str) -> str:
        """Return text that only this key opens."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, secret, purpose.encode())
        return f"{prefix_of(self.name)}{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, *, purpose: str) -> bytes:
        """Return what was sealed for this purpose; SealError when that cannot be."""
        if key_name(sealed) != self.name:
            raise SealError("a stored secret was sealed by another key-encryption key")
        try:
            raw = base64.urlsafe_b64decode(sealed.removeprefix(prefix_of(self.name)))
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], purpose.encode())
        except (InvalidTag, ValueError) as error:
            raise SealError("a stored secret was changed") from error
