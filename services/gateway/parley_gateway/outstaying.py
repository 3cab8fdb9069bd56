"""Ends what is still open for somebody whose key or session has expired: nobody revokes what expires.

An access token is for coming in. What was opened by one lasts as long as the session behind it, for which
accounts is asked once the token has expired, and again from time to time.
"""

import asyncio
import logging
from collections.abc import Callable

from parley_contracts.errors import ErrorCode, ParleyError
from parley_messaging.message_headers import now_ms

from parley_gateway.principal import Prover
from parley_gateway.sockets import Sockets

log = logging.getLogger("parley.gateway")

LOOK_EVERY_S = 15.0
ASK_AGAIN_MS = 600_000


class Outstaying:
    """Looks through the sockets and streams of a gateway process."""

    def __init__(self, sockets: Sockets, prover: Prover, *, clock: Callable[[], int] = now_ms) -> None:
        self._sockets = sockets
        self._prover = prover
        self._clock = clock
        self._good_until_ms: dict[str, int] = {}

    async def run(self) -> None:
        """Look every moment until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except ParleyError as error:
                # Whoever came in is not sent away because accounts is: he is looked at again.
                log.info("sessions cannot be asked about", extra={"reason": error.message})
            except Exception:
                log.exception("sessions cannot be asked about")

    async def look(self) -> None:
        """End what has outstayed; ParleyError when accounts cannot say of all what has."""
        guests = self._sockets.guests
        here = {principal.session_id for principal, _ in guests}
        self._good_until_ms = {name: until for name, until in self._good_until_ms.items() if name in here}
        away: ParleyError | None = None
        for principal, end in guests:
            if principal.expires_at_ms is None or self._clock() < principal.expires_at_ms:
                continue
            if principal.session_id is None:
                end()
            elif away is None:
                try:
                    if not await self._lasts(principal.session_id):
                        end()
                except ParleyError as error:
                    away = error
        if away is not None:
            raise away

    async def _lasts(self, session_id: str) -> bool:
        now = self._clock()
        if now < self._good_until_ms.get(session_id, 0):
            return True
        try:
            found = await self._prover.of_session(session_id, is_use=False)
        except ParleyError as error:
            if error.code is not ErrorCode.UNAUTHENTICATED:
                raise
            return False
        until_ms = now + ASK_AGAIN_MS
        self._good_until_ms[session_id] = min(until_ms, found.expires_at_ms or until_ms)
        return True
