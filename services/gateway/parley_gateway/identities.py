"""Everything by which a gateway process knows who asks, wired together."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from parley_contracts.credentials import AccessClaims
from parley_contracts.errors import ErrorCode, ParleyError
from parley_identity import RefusedTokenError, TokenFault
from parley_messaging import Bus

from parley_gateway.access_tokens import AccessTokens
from parley_gateway.known_principals import KnownPrincipals
from parley_gateway.principal import Principal
from parley_gateway.revocation_watch import Board, RevocationWatch
from parley_gateway.revoked import Revoked

TOKEN_START = "eyJ"
"""What every JWT begins with, and no key of ours: the start of a JSON object in base64."""


class Identities:
    """API keys and sessions are asked for, access tokens are verified; what was revoked is refused."""

    def __init__(self, bus: Bus, board: Board, toll: Callable[[], Awaitable[None]] | None = None) -> None:
        self.revoked = Revoked()
        self._tokens = AccessTokens(bus)
        self._known = KnownPrincipals(bus, self.revoked, toll) if toll else KnownPrincipals(bus, self.revoked)
        self._watch = RevocationWatch(bus, board, self.revoked)

    async def of_bearer(self, text: str) -> Principal:
        """Return whose API key or access token it is."""
        if not (text.startswith(TOKEN_START) and text.count(".") == 2):
            return await self._known.of_key(text)
        claims: AccessClaims = await self._tokens.verify(text)
        if not await self._watch.is_informed():
            raise ParleyError(ErrorCode.UNAVAILABLE, "What was revoked cannot be known now.")
        if self.revoked.refuses(claims):
            raise RefusedTokenError(TokenFault.REVOKED)
        return Principal(
            claims.sub,
            claims.role,
            session_id=claims.sid,
            granted=claims.granted,
            expires_at_ms=round(claims.exp * 1000),
        )

    async def of_session(self, session_id: str, *, is_use: bool = True) -> Principal:
        """Return whose session it is."""
        return await self._known.of_session(session_id, is_use=is_use)

    async def start(self) -> None:
        """Subscribe to what has to be heard before the first request."""
        await self._watch.start()
        await self._tokens.start()

    @property
    def endless(self) -> tuple[Callable[[], Coroutine[Any, Any, None]], ...]:
        """What runs until the process stops."""
        return (self._watch.run, self._tokens.run)
