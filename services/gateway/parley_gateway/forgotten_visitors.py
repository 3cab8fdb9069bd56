"""Turns of visitors who have removed their session: erased from the streams soon after, all in one go."""

import asyncio
import logging

from parley_gateway.turn_erasure import TurnErasure

log = logging.getLogger("parley.gateway")

MOST_WAITING = 10_000
PAUSE_S = 2.0
"""Between two looks through the streams, however many ask."""


class ForgottenVisitors:
    """Collects who is to be forgotten, and looks through the streams for all of them at once.

    Full rule: of one more than `MOST_WAITING`, and of all when the process dies, the streams keep what they
    have until it expires, for a day at most. The conversation is gone before this is asked.
    """

    def __init__(self, erasure: TurnErasure) -> None:
        self._erasure = erasure
        self._wanted = set[str]()
        self._woken = asyncio.Event()

    def forget(self, owner_id: str) -> None:
        """Have the turns of a visitor erased; returns at once."""
        if len(self._wanted) < MOST_WAITING:
            self._wanted.add(owner_id)
            self._woken.set()

    async def run(self) -> None:
        """Erase until cancelled; turns that still run are stopped, and looked for again."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            wanted = frozenset(self._wanted)
            try:
                if await self._erasure.erase_all(wanted.__contains__):
                    self._wanted -= wanted
            except Exception:
                log.warning("turns of visitors cannot be erased now", exc_info=True)
            if self._wanted:
                self._woken.set()
            await asyncio.sleep(PAUSE_S)
