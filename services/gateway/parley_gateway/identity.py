"""Who a request is from: a bearer key, or a browser's session cookie with an Origin check."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from parley_contracts.claims import Acting, PrincipalKind
from parley_contracts.credentials import Revocation, RevokedKind
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission, Role, effective, require

SESSION_COOKIE = "parley_session"
IDENTIFIED = "parley.principal"
"""Where the scope of a request keeps who sends it, once that is known."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, and what he may do: all that his role may, as far as the scopes of the key he shows go."""

    owner_id: str
    role: Role = Role.GUEST
    scopes: tuple[Permission, ...] | None = None
    session_id: str | None = None
    key_id: str | None = None

    def require(self, *permissions: Permission) -> None:
        """Raise ParleyError `forbidden` unless he has all of these."""
        for permission in permissions:
            require(self.role, permission, self.scopes)

    def may(self, permission: Permission) -> bool:
        """Return whether he has a permission."""
        return permission in effective(self.role, self.scopes)

    def is_concerned(self, revocation: Revocation) -> bool:
        """Return whether a revocation is about what he came in by."""
        about = {
            RevokedKind.USER: self.owner_id,
            RevokedKind.SESSION: self.session_id,
            RevokedKind.KEY: self.key_id,
        }
        return revocation.revoked_id == about[revocation.kind]

    @property
    def acting(self) -> Acting:
        """For whom the gateway asks others."""
        kind = PrincipalKind.USER if self.key_id is None else PrincipalKind.KEY
        return Acting(self.owner_id, self.role, self.scopes, kind)

    @property
    def asking(self) -> dict[str, Any]:
        """The fields by which accounts is told who asks."""
        return {"owner_id": self.owner_id, "role": self.role, "scopes": self.scopes}


class Prover(Protocol):
    """Tells whose a key, an access token or a session is."""

    async def of_bearer(self, text: str) -> Principal:
        """Return whose key or access token it is; ParleyError `unauthenticated` when it is nobody's."""
        ...

    async def of_session(self, session_id: str) -> Principal:
        """Return whose session it is; ParleyError `unauthenticated` when it has ended."""
        ...


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
