"""Whose API keys and sessions are shown: accounts is asked, and what it says is remembered for a minute."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from parley_contracts import subjects
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


@dataclass(frozen=True, slots=True)
class _Remembered:
    principal: Principal
    until_s: float


async def _freely() -> None:
    """Let anybody ask."""


class KnownPrincipals:
    """Asks once for all who show the same; a revocation has what it concerns asked for again.

    `toll` is awaited before anybody asks for what is not remembered, and may refuse it.
    """

    def __init__(self, bus: Bus, revoked: Revoked, toll: Callable[[], Awaitable[None]] = _freely) -> None:
        self._bus = bus
        self._toll = toll
        self._revoked = revoked
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._asking: dict[bytes, asyncio.Future[Principal]] = {}
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

    async def of_session(self, session_id: str) -> Principal:
        """Return whose session it is; raises as `of_key` does."""
        request = CheckSession(session_id=session_id)
        return await self._known(session_id.encode(), subjects.ACCOUNTS_CHECK_SESSION, request)

    async def _known(self, name: bytes, subject: str, request: CheckKey | CheckSession) -> Principal:
        is_let_in = False
        while True:
            found = self._remembered.get(name)
            if found is not None and found.until_s > time.monotonic():
                return found.principal
            if not is_let_in:
                await self._toll()
                is_let_in = True
                continue
            asking = self._asking.get(name)
            if asking is None:
                return await self._ask(name, subject, request)
            await asyncio.wait([asking])
            if not asking.cancelled():
                return asking.result()

    async def _ask(self, name: bytes, subject: str, request: CheckKey | CheckSession) -> Principal:
        answer = self._asking[name] = asyncio.get_running_loop().create_future()
        heard = self._revoked.heard
        try:
            told = await self._bus.request(subject, request, KnownPrincipal, timeout_s=ASK_TIMEOUT_S)
            found = Principal(told.user_id, told.role, told.scopes, told.session_id, told.key_id)
            # What was revoked meanwhile may not have been known to who answered.
            if heard == self._revoked.heard:
                self._remember(name, found, told.expires_at_ms)
            answer.set_result(found)
            return found
        except ParleyError as error:
            answer.set_exception(error)
            answer.exception()  # nobody may have waited for it
            raise
        finally:
            answer.cancel()
            del self._asking[name]

    def _remember(self, name: bytes, found: Principal, expires_at_ms: int | None) -> None:
        lasts_s = REMEMBERED_S
        if expires_at_ms is not None:
            lasts_s = min(lasts_s, (expires_at_ms - now_ms()) / 1000)
        self._remembered[name] = _Remembered(found, time.monotonic() + lasts_s)
        self._remembered.move_to_end(name)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)

    def _forget(self, revocation: Revocation) -> None:
        remembered = self._remembered.items()
        for name in [name for name, one in remembered if one.principal.is_concerned(revocation)]:
            del self._remembered[name]
