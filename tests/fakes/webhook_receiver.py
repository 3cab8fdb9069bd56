"""Verifies webhooks by the published rules alone, as somebody's server would; no code is the sender's.

Standard Webhooks 1.0.0: https://github.com/standard-webhooks/standard-webhooks
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

from tests.fakes.http_receiver import Received

TOLERANCE_S = 300


@dataclass(frozen=True, slots=True)
class Event:
    """A verified event."""

    message_id: str
    type: str
    timestamp: str
    data: dict[str, Any]


class NotVerifiedError(Exception):
    """A request is not what a sender who knows the secret sends now."""


def verified(request: Received, secret: str, *, now_s: float) -> Event:
    """Return what a request says; NotVerifiedError unless a signature of it holds."""
    try:
        message_id = request.headers["webhook-id"]
        at_s = int(request.headers["webhook-timestamp"])
        signatures = request.headers["webhook-signature"].split(" ")
    except (KeyError, ValueError) as error:
        raise NotVerifiedError("a header is missing") from error
    if abs(now_s - at_s) > TOLERANCE_S:
        raise NotVerifiedError("too old, or from the future")
    if not secret.startswith("whsec_"):
        raise NotVerifiedError("no secret")
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    signed = b".".join((message_id.encode(), str(at_s).encode(), request.body))
    wanted = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    if not any(hmac.compare_digest(wanted, one) for one in signatures):
        raise NotVerifiedError("no signature holds")
    said = json.loads(request.body)
    return Event(message_id, said["type"], said["timestamp"], said["data"])
