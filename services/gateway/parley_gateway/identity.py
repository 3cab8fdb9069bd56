"""Who a request is from: a bearer key, or a browser's session cookie with an Origin check."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import urlsplit

from parley_contracts.errors import ErrorCode, ParleyError

from parley_gateway.principal import Principal, Prover

SESSION_COOKIE = "parley_session"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


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

    def __init__(self, prover: Prover, secrets: Secrets, *, session_s: int) -> None:
        self._prover = prover
        self._cookie_key = hmac.new(secrets.turn_key, b"session", hashlib.sha256).digest()
        self.session_s = session_s

    async def identify(self, method: str, headers: Mapping[str, str]) -> Principal:
        """Return who sends a request with these headers.

        Raises:
            ParleyError: `unauthenticated` without a valid key, access token or session; `forbidden` when a
                browser sends the cookie from a page of another origin; `unavailable` when nobody can tell.
        """
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and key:
            return await self._prover.of_bearer(key.strip())
        session_id = self._session_of(headers.get("cookie", ""))
        principal = await self._prover.of_session(session_id)
        if method not in SAFE_METHODS:
            _check_origin(headers)
        return principal

    def new_session(self, session_id: str) -> str:
        """Return the value of the cookie that stands for a session of accounts."""
        expires = str(int(time.time()) + self.session_s)
        return f"{session_id}.{expires}.{self._sign(session_id, expires)}"

    def _sign(self, session_id: str, expires: str) -> str:
        return hmac.new(self._cookie_key, f"{session_id}.{expires}".encode(), hashlib.sha256).hexdigest()

    def _session_of(self, header: str) -> str:
        try:
            morsel = SimpleCookie(header).get(SESSION_COOKIE)
        except CookieError:
            morsel = None
        session_id, expires, signature = (
            morsel.value.rsplit(".", 2) if morsel and morsel.value.count(".") >= 2 else ("", "", "")
        )
        if not hmac.compare_digest(signature.encode(), self._sign(session_id, expires).encode()):
            raise ParleyError(ErrorCode.UNAUTHENTICATED, "Send an API key: `Authorization: Bearer <key>`.")
        if not expires.isdecimal() or int(expires) < time.time():
            raise ParleyError(ErrorCode.UNAUTHENTICATED, "The session has expired; log in again.")
        return session_id


def _check_origin(headers: Mapping[str, str]) -> None:
    """Refuse what a page of another origin makes a browser send along with our cookie."""
    host = headers.get("host", "")
    try:
        origin = urlsplit(headers.get("origin", "")).netloc
    except ValueError:
        origin = ""
    if not host or origin != host:
        raise ParleyError(ErrorCode.FORBIDDEN, "Requests from pages of other origins are refused.")
