"""Whose API keys and sessions are shown: accounts is asked, and what it says is remembered for a minute."""

import hashlib
from collections.abc import Awaitable, Callable

from parley_contracts import subjects
from parley_contracts.asked_once import AskedOnce
from parley_contracts.credentials import CheckKey, CheckSession, KnownPrincipal, Revocation
from parley_contracts.errors import ErrorCode, ParleyError
from parley_messaging import Bus
from parley_messaging.message_headers import now_ms

from parley_gateway.principal import Principal
from parley_gateway.revoked import Revoked

REMEMBERED_S = 60.0
MOST_REMEMBERED = 20_000
"""Beyond it the one that was asked for longest ago is forgotten, and asked for again."""
ASK_TIMEOUT_S = 3.0
MAX_KEY_CHARS = 512


async def _freely() -> None:
    """Let anybody ask."""


class KnownPrincipals:
    """Asks once for all who show the same; a revocation has what it concerns asked for again.

    `toll` is awaited before anybody asks for what is not remembered, and may refuse it.
    """

    def __init__(self, bus: Bus, revoked: Revoked, toll: Callable[[], Awaitable[None]] = _freely) -> None:
        self._bus = bus
        self._toll = toll
        self._principals = AskedOnce[bytes, Principal](MOST_REMEMBERED)
        revoked.on_revoked(self._forget)

    async def of_key(self, key: str) -> Principal:
        """Return whose API key it is.

        Raises:
            ParleyError: `unauthenticated` when it is nobody's; `unavailable` or `timeout` when accounts does
                not answer and it was not checked within the last minute.
        """
        if len(key) > MAX_KEY_CHARS:
            raise ParleyError(ErrorCode.UNAUTHENTICATED, "The API key is not valid.")
        # Its hash, so that no dump of this process shows a key that nobody uses just now.
        digest = hashlib.sha256(key.encode(errors="surrogatepass")).digest()
        return await self._known(digest, subjects.ACCOUNTS_CHECK_KEY, CheckKey(key=key))

    async def of_session(self, session_id: str, *, is_use: bool = True) -> Principal:
        """Return whose session it is; raises as `of_key` does."""
        request = CheckSession(session_id=session_id, is_use=is_use)
        return await self._known(session_id.encode(), subjects.ACCOUNTS_CHECK_SESSION, request)

    async def _known(self, name: bytes, subject: str, request: CheckKey | CheckSession) -> Principal:
        if name not in self._principals:
            await self._toll()
        return await self._principals.find(name, lambda: self._ask(subject, request))

    async def _ask(self, subject: str, request: CheckKey | CheckSession) -> tuple[Principal, float]:
        told = await self._bus.request(subject, request, KnownPrincipal, timeout_s=ASK_TIMEOUT_S)
        lasts_s = REMEMBERED_S
        if told.expires_at_ms is not None:
            lasts_s = min(lasts_s, (told.expires_at_ms - now_ms()) / 1000)
        found = Principal(
            told.user_id,
            told.role,
            told.scopes,
            told.session_id,
            told.key_id,
            told.granted,
            told.expires_at_ms,
        )
        return found, lasts_s

    def _forget(self, revocation: Revocation) -> None:
        self._principals.forget_where(lambda principal: principal.is_concerned(revocation))
