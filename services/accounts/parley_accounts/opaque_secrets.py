"""Secrets that only their maker can read: refresh tokens, links and API keys, of 256 random bits each.

Kept is a plain SHA-256: there is nothing to guess in 256 random bits that a slow hash would have to protect.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_PREFIX = "pk"
REFRESH_PREFIX = "rt-"
LINK_PREFIX = "ln-"
_SECRET_BYTES = 32
_NONCE_BYTES = 12
_NOBODYS = "0" * 64


def new_secret(prefix: str) -> str:
    """Return a new secret; its prefix lets people and scanners see what it is."""
    return prefix + secrets.token_urlsafe(_SECRET_BYTES)


def new_api_key() -> tuple[str, str]:
    """Return the id of a new API key, and the key: `pk-<id>-<secret>`."""
    key_id = secrets.token_hex(8)
    return key_id, f"{key_start(key_id)}{secrets.token_urlsafe(_SECRET_BYTES)}"


def key_start(key_id: str) -> str:
    """Return what the API key of an id begins with."""
    return f"{KEY_PREFIX}-{key_id}-"


def api_key_id(key: str) -> str | None:
    """Return the id that an API key names, or None when it names none."""
    prefix, _, rest = key.partition("-")
    key_id, _, secret = rest.partition("-")
    return key_id if prefix == KEY_PREFIX and key_id and secret else None


def hashed(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def is_secret_of(secret: str, kept: str | None) -> bool:
    """Return whether `kept` is of this secret, in the same time whatever is kept."""
    return hmac.compare_digest(hashed(secret), kept or _NOBODYS)


def _cipher_of(secret: str) -> AESGCM:
    # Not the kept hash, which would let the database open what only the secret may.
    return AESGCM(hmac.new(secret.encode(), b"parley successor", hashlib.sha256).digest())


def seal_by(secret: str, text: str) -> str:
    """Return text that only who holds `secret` can open."""
    nonce = os.urandom(_NONCE_BYTES)
    return base64.urlsafe_b64encode(nonce + _cipher_of(secret).encrypt(nonce, text.encode(), None)).decode()


def open_by(secret: str, sealed: str) -> str | None:
    """Return what was sealed by `secret`, or None when it was not."""
    try:
        raw = base64.urlsafe_b64decode(sealed)
        return _cipher_of(secret).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], None).decode()
    except (InvalidTag, ValueError, binascii.Error):
        return None
