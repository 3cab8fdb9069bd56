"""Signatures of webhooks, as Standard Webhooks 1.0.0 says.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> bytes:
    """Return a new secret."""
    return secrets.token_bytes(_SECRET_BYTES)


def shown(secret: bytes) -> str:
    """Return a secret as its owner is told it."""
    return PREFIX + base64.b64encode(secret).decode()


def signed_headers(message_id: str, at_s: int, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """Return the headers of one attempt; each key signs, the present one first.

    Args:
        message_id: The same for every attempt; without a full stop, which parts what is signed.
        at_s: When this attempt is made, seconds since the Unix epoch.
        body: The very bytes that are sent.
        keys: The secret, and while it is being replaced the old one too.
    """
    signed = f"{message_id}.{at_s}.".encode() + body
    signatures = (base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{one}" for one in signatures),
    }
