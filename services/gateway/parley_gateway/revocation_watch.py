"""Learns what is refused in three ways: an event at once, Redis within half a second, accounts by asking."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from parley_contracts import subjects
from parley_contracts.credentials import AccountsRevoked, ReadRevocations, Revocation, RevocationList
from parley_contracts.errors import ParleyError
from parley_messaging import Bus
from parley_messaging.bus import Delivery
from parley_messaging.error_boundary import described
from pydantic import ValidationError

from parley_gateway.revoked import Revoked

log = logging.getLogger("parley.gateway")

LOOK_EVERY_S = 0.4
ASK_TIMEOUT_S = 1.0
FIRST_LOOK_S = 2.0
"""How long who comes to a gateway that has just begun waits until it knows what was revoked."""
PAGE = 1000
SPARE_MS = 10_000
"""How far back is asked again: clocks differ, and a revocation is seen when it is committed."""


class Board(Protocol):
    """Where accounts posts what is refused."""

    async def version(self) -> bytes:
        """Return what is another one whenever something was added; ParleyError when it is away."""
        ...

    async def read(self) -> tuple[Revocation, ...]:
        """Return everything that stands there; ParleyError when it is away."""
        ...


class RevocationWatch:
    """Fills `revoked`. What was ever told stays known, also while Redis and accounts are away."""

    def __init__(self, bus: Bus, board: Board, revoked: Revoked) -> None:
        self._bus = bus
        self._board = board
        self._revoked = revoked
        self._version: bytes | None = None
        self._asked_ms: int | None = None
        self._is_behind = True
        self._has_redis: bool = True
        self._woken = asyncio.Event()
        self._informed = asyncio.Event()

    async def is_informed(self) -> bool:
        """Return whether anybody has told what was revoked; at the start that is waited for, not for long."""
        if not self._informed.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_LOOK_S):
                    await self._informed.wait()
        return self._informed.is_set()

    async def start(self) -> None:
        """Begin to hear events."""
        await self._bus.subscribe(subjects.ACCOUNTS_REVOKED, self._hear, on_drop=self._catch_up)
        self._bus.on_reconnect(self._catch_up)

    async def run(self) -> None:
        """Look every moment until cancelled."""
        while True:
            self._woken.clear()
            await self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._woken.wait()

    async def look(self) -> None:
        """Look into Redis; ask accounts when Redis is away, at the start, and when events may be lost."""
        has_seen = await self._look_into_redis()
        if has_seen != self._has_redis:
            self._has_redis = has_seen
            log.warning("redis tells of revocations again" if has_seen else "redis tells of no revocations")
        if has_seen:
            self._informed.set()
        if self._is_behind or not has_seen:
            has_asked = await self._ask()
            self._is_behind = self._is_behind and not has_asked
            if has_asked:
                self._informed.set()

    async def _look_into_redis(self) -> bool:
        try:
            version = await self._board.version()
            if version != self._version:
                self._add(await self._board.read())
                self._version = version
        except ParleyError:
            return False
        return True

    async def _ask(self) -> bool:
        """Read all that was revoked since the last time from accounts; False when it does not answer."""
        since_ms, after_id = (self._asked_ms or 0), ""
        read_at_ms: int | None = None
        while True:
            request = ReadRevocations(since_ms=since_ms, after_id=after_id, limit=PAGE)
            try:
                found = await self._bus.request(
                    subjects.ACCOUNTS_READ_REVOCATIONS, request, RevocationList, timeout_s=ASK_TIMEOUT_S
                )
            except ParleyError:
                return False
            read_at_ms = found.read_at_ms if read_at_ms is None else read_at_ms
            self._add(found.revocations)
            if len(found.revocations) < PAGE:
                self._asked_ms = max(0, read_at_ms - SPARE_MS)
                return True
            since_ms, after_id = found.revocations[-1].at_ms, found.revocations[-1].id

    def _add(self, revocations: Sequence[Revocation]) -> None:
        for one in revocations:
            self._revoked.add(one)

    async def _hear(self, delivery: Delivery) -> None:
        try:
            self._revoked.add(AccountsRevoked.model_validate_json(delivery.data).revocation)
        except ValidationError as error:
            fault = described(error).message
            log.error("a revocation cannot be read; it is asked for", extra={"fault": fault})
            self._catch_up()

    def _catch_up(self) -> None:
        self._is_behind = True
        self._woken.set()
