"""Access tokens, verified alone by the keys that accounts has published."""

import asyncio
import time
from contextlib import suppress

from parley_contracts import subjects
from parley_contracts.credentials import AccessClaims, PublishedKeys, ReadPublishedKeys
from parley_contracts.errors import ErrorCode, ParleyError
from parley_identity import AccessTokenVerifier, RefusedTokenError, TokenFault
from parley_messaging import Bus
from parley_messaging.bus import Delivery

ASK_TIMEOUT_S = 2.0
ASK_EVERY_S = 300.0
RETRY_S = 1.0
FIRST_KEYS_S = 2.0
"""How long who comes to a gateway that has just begun waits for the first keys."""
UNKNOWN_KEY_S = 10.0
"""How often at most a key that nobody knows has the keys asked for: anybody may make one up."""


class AccessTokens:
    """Asks for the keys at the start, when told of others, when one is unknown, and every few minutes."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._verifier: AccessTokenVerifier | None = None
        self._asked_s = float("-inf")
        self._asking = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._told = asyncio.Event()

    async def start(self) -> None:
        """Begin to hear of other keys."""
        await self._bus.subscribe(subjects.ACCOUNTS_KEYS_CHANGED, self._hear, on_drop=self._wanted.set)
        self._bus.on_reconnect(self._wanted.set)

    async def run(self) -> None:
        """Keep the keys fresh until cancelled."""
        while True:
            self._wanted.clear()
            is_told = await self._ask(0)
            with suppress(TimeoutError):
                async with asyncio.timeout(ASK_EVERY_S if is_told else RETRY_S):
                    await self._wanted.wait()

    async def verify(self, text: str) -> AccessClaims:
        """Return what a token says; whether it was revoked, the caller looks up.

        Raises:
            RefusedTokenError: Something about it is wrong.
            ParleyError: `unavailable` while no key was ever told.
        """
        if self._verifier is None and not await self._ask(RETRY_S):
            # Accounts may have begun a moment after us: that is no reason to refuse anybody.
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_KEYS_S):
                    await self._told.wait()
        try:
            return self._known.verify(text)
        except RefusedTokenError as error:
            if error.fault is not TokenFault.UNKNOWN_KEY or not await self._ask(UNKNOWN_KEY_S):
                raise
        return self._known.verify(text)

    @property
    def _known(self) -> AccessTokenVerifier:
        if self._verifier is None:
            raise ParleyError(ErrorCode.UNAVAILABLE, "Access tokens cannot be verified now.")
        return self._verifier

    async def _ask(self, every_s: float) -> bool:
        """Ask for the keys unless that was done within `every_s`; return whether they were told just now."""
        asked_s = self._asked_s
        async with self._asking:
            if self._asked_s != asked_s:
                return self._verifier is not None
            if time.monotonic() - asked_s < every_s:
                return False
            self._asked_s = time.monotonic()
            try:
                keys = await self._bus.request(
                    subjects.ACCOUNTS_PUBLISHED_KEYS,
                    ReadPublishedKeys(),
                    PublishedKeys,
                    timeout_s=ASK_TIMEOUT_S,
                )
            except ParleyError:
                return False
            self._verifier = AccessTokenVerifier(keys)
            self._told.set()
            return True

    async def _hear(self, _: Delivery) -> None:
        self._wanted.set()
