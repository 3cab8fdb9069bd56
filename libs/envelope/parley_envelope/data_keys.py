"""The data keys that a process was told: kept in memory only, and asked for as they are needed."""

import logging
import time
from collections.abc import Awaitable, Callable

from parley_contracts.asked_once import AskedOnce
from parley_contracts.data_keys import ReadDataKey, ToldDataKey
from parley_contracts.errors import ErrorCode, ParleyError

from parley_envelope.envelope import SealError
from parley_envelope.key_delivery import KeyQuestion
from parley_envelope.segments import DataKey

log = logging.getLogger("parley.envelope")

AskForKey = Callable[[ReadDataKey], Awaitable[ToldDataKey]]
"""Asks accounts; raises ParleyError when it does not answer, or knows no such key."""

MOST_ASKED = 100
"""Questions whose answers are remembered; those of keys by their ids are kept apart, for good."""

FRESH_S = 60.0
"""A new data key seals everywhere within this time."""


class DataKeys:
    """Asks accounts for a key once for all who want it; while it is away, the keys that are known go on."""

    def __init__(
        self, ask: AskForKey, *, fresh_s: float = FRESH_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._fresh_s = fresh_s
        self._known: dict[str, DataKey] = {}
        self._current: DataKey | None = None
        self._asked = AskedOnce[str | None, DataKey](MOST_ASKED, clock=clock)

    async def current(self) -> DataKey:
        """Return the key that seals now; ParleyError `unavailable` when none is known and none is told."""
        try:
            return await self._asked.find(None, self._ask_for_current)
        except ParleyError as error:
            raise _unavailable() from error

    async def find(self, key_id: str) -> DataKey:
        """Return the key of an id.

        Raises:
            ParleyError: `unavailable` when accounts does not tell it now.
            SealError: There is no such key.
        """
        if (known := self._known.get(key_id)) is not None:
            return known

        async def ask() -> tuple[DataKey, float]:
            return await self._told(key_id), self._fresh_s

        try:
            return await self._asked.find(key_id, ask)
        except ParleyError as error:
            if error.code is ErrorCode.NOT_FOUND:
                raise SealError("a stream was sealed by a data key that is not there") from error
            raise _unavailable() from error

    async def _ask_for_current(self) -> tuple[DataKey, float]:
        try:
            self._current = await self._told(None)
        except ParleyError:
            if self._current is None:
                raise
            log.warning("no data key is told; the one that is known goes on", exc_info=True)
        return self._current, self._fresh_s

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
