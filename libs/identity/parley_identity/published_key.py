"""Ed25519 public keys as JWKs (RFC 8037)."""

import base64
import binascii

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from parley_contracts.credentials import PublishedKey


def published(kid: str, key: Ed25519PublicKey) -> PublishedKey:
    """Return a public key as it is published."""
    return PublishedKey(kid=kid, x=base64.urlsafe_b64encode(key.public_bytes_raw()).decode().rstrip("="))


def public_key(key: PublishedKey) -> Ed25519PublicKey:
    """Return the key that was published; ValueError when it is none."""
    try:
        raw = base64.b64decode(f"{key.x}=", altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(f"the published key {key.kid} is not base64url") from error
    return Ed25519PublicKey.from_public_bytes(raw)
