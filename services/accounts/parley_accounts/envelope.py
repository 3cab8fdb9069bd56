"""Secrets at rest: AES-256-GCM under the key-encryption key, which is in no database."""

import base64
import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from parley_identity.secret_files import create_once

KEK_FILE = "kek.key"
_KEY_BYTES = 32
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
    if len(key) != _KEY_BYTES:
        raise ValueError("a key-encryption key is 64 hex digits")
    return key


def read_or_make_key(folder: Path) -> bytes:
    """Return the key in the folder's file, which is made for this user alone when it is absent."""
    path = folder / KEK_FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_once(path, secrets.token_hex(_KEY_BYTES))
    try:
        return parse_key(path.read_text(encoding="ascii"))
    except ValueError as error:
        raise ValueError(f"{path} holds no key: {error}") from None


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
