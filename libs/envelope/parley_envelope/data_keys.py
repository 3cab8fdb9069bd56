"""The data keys that a process was told: kept in memory only, and asked for as they are needed."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from parley_contracts.data_keys import ReadDataKey, ToldDataKey
from parley_contracts.errors import ErrorCode, ParleyError

from parley_envelope.envelope import SealError
from parley_envelope.key_delivery import KeyQuestion
from parley_envelope.segments import DataKey

log = logging.getLogger("parley.envelope")

AskForKey = Callable[[ReadDataKey], Awaitable[ToldDataKey]]
"""Asks accounts; raises ParleyError when it does not answer, or knows no such key."""

FRESH_S = 60.0
"""A new data key seals everywhere within this time."""


class DataKeys:
    """Asks accounts for a key once; while it is away, the keys that are known go on."""

    def __init__(
        self, ask: AskForKey, *, fresh_s: float = FRESH_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._fresh_s = fresh_s
        self._clock = clock
        self._known: dict[str, DataKey] = {}
        self._current: DataKey | None = None
        self._ask_at_s = 0.0
        self._asking = asyncio.Lock()

    async def current(self) -> DataKey:
        """Return the key that seals now; ParleyError `unavailable` when none is known and none is told."""
        async with self._asking:
            if self._current is None or self._clock() >= self._ask_at_s:
                try:
                    self._current = await self._told(None)
                except ParleyError as error:
                    if self._current is None:
                        raise _unavailable() from error
                    log.warning("no data key is told; the one that is known goes on", exc_info=True)
                self._ask_at_s = self._clock() + self._fresh_s
            return self._current

    async def find(self, key_id: str) -> DataKey:
        """Return the key of an id.

        Raises:
            ParleyError: `unavailable` when accounts does not tell it now.
            SealError: There is no such key.
        """
        if (known := self._known.get(key_id)) is not None:
            return known
        try:
            return await self._told(key_id)
        except ParleyError as error:
            if error.code is ErrorCode.NOT_FOUND:
                raise SealError("a stream was sealed by a data key that is not there") from error
            raise _unavailable() from error

    async def _told(self, key_id: str | None) -> DataKey:
        question = KeyQuestion()
        told = await self._ask(ReadDataKey(public_key=question.public_key, key_id=key_id))
        key = question.open(told)
        if key_id not in (None, key.id):
            raise SealError("another data key was told than was asked for")
        self._known[key.id] = key
        return key


def _unavailable() -> ParleyError:
    return ParleyError(
        ErrorCode.UNAVAILABLE, "The keys of stored files are not available now.", retryable=True
    )
