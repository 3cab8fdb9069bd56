"""Who a request is from: a bearer key, or a browser's session cookie; no foreign page has had it sent."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError

from parley_gateway.origins import Origins
from parley_gateway.principal import Principal, Prover

SESSION_COOKIE = "parley_session"
SECURE_SESSION_COOKIE = "__Host-parley_session"
"""Over TLS: browsers take one of that name only for this very host, and from nobody without TLS."""

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

    def __init__(
        self, prover: Prover, secrets: Secrets, *, session_s: int, origins: Origins | None = None
    ) -> None:
        self._prover = prover
        self.owner_key = secrets.owner_key
        self._cookie_key = hmac.new(secrets.turn_key, b"session", hashlib.sha256).digest()
        self.session_s = session_s
        self.origins = origins or Origins()

    async def identify(self, method: str, headers: Mapping[str, str], scheme: str = "http") -> Principal:
        """Return who sends a request with these headers over `scheme`.

        Raises:
            ParleyError: `unauthenticated` without a valid key, access token or session; `forbidden` when a
                page of another origin has the browser send it; `unavailable` when nobody can tell.
        """
        kind, _, key = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and key:
            principal = await self._prover.of_bearer(key.strip())
            if method not in SAFE_METHODS:
                self.origins.check_key(scheme, headers)
            return principal
        session_id = self._session_of(headers.get("cookie", ""), session_cookie(scheme))
        principal = await self._prover.of_session(session_id)
        if method not in SAFE_METHODS:
            self.origins.check_cookie(scheme, headers)
        return principal

    def new_session(self, session_id: str) -> str:
        """Return the value of the cookie that stands for a session of accounts."""
        expires = str(int(time.time()) + self.session_s)
        return f"{session_id}.{expires}.{self._sign(session_id, expires)}"

    def _sign(self, session_id: str, expires: str) -> str:
        return hmac.new(self._cookie_key, f"{session_id}.{expires}".encode(), hashlib.sha256).hexdigest()

    def _session_of(self, header: str, name: str) -> str:
        value = read_cookie(header, name)
        session_id, expires, signature = value.rsplit(".", 2) if value.count(".") >= 2 else ("", "", "")
        if not hmac.compare_digest(signature.encode(), self._sign(session_id, expires).encode()):
            raise ParleyError(ErrorCode.UNAUTHENTICATED, "Send an API key: `Authorization: Bearer <key>`.")
        if not expires.isdecimal() or int(expires) < time.time():
            raise ParleyError(ErrorCode.UNAUTHENTICATED, "The session has expired; log in again.")
        return session_id


def read_cookie(header: str, name: str) -> str:
    """Return a cookie's value, empty without one; what others have set for the same host may be anything."""
    pairs = (part.partition("=") for part in header.split(";"))
    return next((value.strip() for found, _, value in pairs if found.strip() == name), "")
