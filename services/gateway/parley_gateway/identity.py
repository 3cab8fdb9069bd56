"""Who a request is from: a bearer key, or a browser's session cookie; no foreign page has had it sent."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError

from parley_gateway.origins import Origins

SESSION_COOKIE = "parley_session"
SECURE_SESSION_COOKIE = "__Host-parley_session"
"""Over TLS: browsers take one of that name only for this very host, and from nobody without TLS."""

LOCAL_OWNER = "local-owner"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_SECURE_SCHEMES = frozenset({"https", "wss"})


def scheme_of(scope: Mapping[str, Any]) -> str:
    """Return the scheme of a connection. Its URL is not asked: a client's `Host` may make it unreadable."""
    return scope.get("scheme", "http")


def is_secure(scheme: str) -> bool:
    """Return whether a client speaks TLS, with us or with a proxy that we trust."""
    return scheme in _SECURE_SCHEMES


def session_cookie(scheme: str) -> str:
    """Return the name of the session's cookie."""
    return SECURE_SESSION_COOKIE if is_secure(scheme) else SESSION_COOKIE


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks."""

    owner_id: str


class Secrets:
    """The keys that `parley up` made: the owner's API key, and the one behind ids and cookies."""

    def __init__(self, owner_key: str, turn_key: bytes) -> None:
        self.owner_key = owner_key
        self.turn_key = turn_key

    @classmethod
    def read(cls, folder: Path) -> "Secrets":
        """Read both keys; OSError or ValueError names what is missing."""
        owner_key = (folder / "owner.key").read_text().strip()
        turn_key = bytes.fromhex((folder / "turn.key").read_text().strip())
        if not owner_key or not turn_key:
            raise ValueError(f"a key in {folder} is empty")
        return cls(owner_key, turn_key)


class Doorkeeper:
    """Tells who a request is from, or refuses it."""

    def __init__(self, secrets: Secrets, *, session_s: int, origins: Origins | None = None) -> None:
        self._owner_key_hash = hashlib.sha256(secrets.owner_key.encode()).digest()
        self._cookie_key = hmac.new(secrets.turn_key, b"session", hashlib.sha256).digest()
        self.session_s = session_s
        self.origins = origins or Origins()

    def identify(self, method: str, headers: Mapping[str, str], scheme: str = "http") -> Principal:
        """Return who sends a request with these headers over `scheme`.

        Raises:
            ParleyError: `unauthenticated` without a valid key or session; `forbidden` when a page of
                another origin has the browser send it.
        """
        kind, _, key = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and key:
            principal = self.identify_key(key.strip())
            if method not in SAFE_METHODS:
                self.origins.check_key(scheme, headers)
            return principal
        principal = self._identify_cookie(headers.get("cookie", ""), session_cookie(scheme))
        if method not in SAFE_METHODS:
            self.origins.check_cookie(scheme, headers)
        return principal

    def identify_key(self, key: str) -> Principal:
        """Return whose API key it is, in constant time."""
        found = hashlib.sha256(key.encode()).digest()
        if not hmac.compare_digest(found, self._owner_key_hash):
            raise ParleyError(ErrorCode.UNAUTHENTICATED, "The API key is not valid.")
        return Principal(LOCAL_OWNER)

    def new_session(self, principal: Principal) -> str:
        """Return the value of a session cookie."""
        expires = str(int(time.time()) + self.session_s)
        return f"{principal.owner_id}.{expires}.{self._sign(principal.owner_id, expires)}"

    def _sign(self, owner_id: str, expires: str) -> str:
        return hmac.new(self._cookie_key, f"{owner_id}.{expires}".encode(), hashlib.sha256).hexdigest()

    def _identify_cookie(self, header: str, name: str) -> Principal:
        value = _cookie(header, name)
        owner_id, expires, signature = value.rsplit(".", 2) if value.count(".") >= 2 else ("", "", "")
        if not hmac.compare_digest(signature.encode(), self._sign(owner_id, expires).encode()):
            raise ParleyError(ErrorCode.UNAUTHENTICATED, "Send an API key: `Authorization: Bearer <key>`.")
        if not expires.isdecimal() or int(expires) < time.time():
            raise ParleyError(ErrorCode.UNAUTHENTICATED, "The session has expired; log in again.")
        return Principal(owner_id)


def _cookie(header: str, name: str) -> str:
    """Return a cookie's value, empty without one; what others have set for the same host may be anything."""
    pairs = (part.partition("=") for part in header.split(";"))
    return next((value.strip() for found, _, value in pairs if found.strip() == name), "")
