"""Ids that prove whose they are: ownership is recomputed from the id, never looked up.

A turn's id on the bus is a keyed hash of its owner and the client's `turn_id`. A conversation's id is a
random part with a keyed hash of owner and that part.
"""

import base64
import hmac
import secrets
from uuid import UUID

JUST_MADE_MS = 60_000
"""Half of the time in which JetStream tells a repeat by its message id: clocks differ."""

_HASH_BYTES = 20
_RANDOM_BYTES = 10
_TAG_BYTES = 10


def _text(data: bytes) -> str:
    return base64.b32encode(data).decode().lower().rstrip("=")


def is_just_made(client_turn_id: str, now_ms: int) -> bool:
    """Return whether an id tells that it was made just now: a UUID of version 7 (RFC 9562, section 5.7)."""
    try:
        found = UUID(client_turn_id)
    except ValueError:
        return False
    return found.version == 7 and abs(now_ms - (found.int >> 80)) < JUST_MADE_MS


class OwnedIds:
    """Makes and recognises ids under one secret that all gateways share."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def _hash(self, purpose: str, *parts: str) -> bytes:
        # Lengths in front keep ("ab", "c") and ("a", "bc") apart.
        message = "".join(f"{len(part)}:{part}" for part in (purpose, *parts))
        return hmac.digest(self._secret, message.encode(), "sha256")

    def turn_id(self, owner_id: str, client_turn_id: str) -> str:
        """Return a turn's id on the bus: 32 letters and digits, the same for the same two parts."""
        return _text(self._hash("turn", owner_id, client_turn_id)[:_HASH_BYTES])

    def new_conversation_id(self, owner_id: str, seed: str | None = None) -> str:
        """Return an id for a conversation of `owner_id`; the same `seed` gives the same one."""
        if seed is None:
            part = _text(secrets.token_bytes(_RANDOM_BYTES))
        else:
            part = _text(self._hash("seed", owner_id, seed)[:_RANDOM_BYTES])
        return part + self._tag(owner_id, part)

    def _tag(self, owner_id: str, part: str) -> str:
        return _text(self._hash("conversation", owner_id, part)[:_TAG_BYTES])

    def owns_conversation(self, owner_id: str, conversation_id: str) -> bool:
        """Return whether `conversation_id` was made for `owner_id`."""
        size = len(conversation_id) // 2
        part, tag = conversation_id[:size], conversation_id[size:]
        return hmac.compare_digest(tag.encode(), self._tag(owner_id, part).encode())
