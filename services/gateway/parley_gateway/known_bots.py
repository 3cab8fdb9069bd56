"""Bots that visitors ask: accounts is asked for one, and what it says is remembered until that changes."""

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass

from parley_contracts import subjects
from parley_contracts.bots import Bot, BotChanged, ReadPublicBot
from parley_contracts.credentials import Revocation, RevokedKind
from parley_contracts.errors import ErrorCode, ParleyError
from parley_messaging import Bus
from parley_messaging.bus import Delivery
from pydantic import ValidationError

log = logging.getLogger("parley.gateway")

REMEMBERED_S = 60.0
MISSED_S = 5.0
"""How long it is remembered that there is no such bot."""
MOST_REMEMBERED = 2_000
"""Beyond it the one that was asked for longest ago is forgotten, and asked for again."""
ASK_TIMEOUT_S = 3.0
MAX_ID_CHARS = 64


@dataclass(frozen=True, slots=True)
class _Remembered:
    bot: Bot | None
    until_s: float


def no_such_bot() -> ParleyError:
    """Return the one error for a bot that is not there, is disabled or may not be had any more."""
    return ParleyError(ErrorCode.NOT_FOUND, "There is no such bot.", field="bot_id")


class KnownBots:
    """Asks once for all who ask at the same time; forgets what an event or a revocation is about."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        self._asking: dict[str, asyncio.Future[Bot | None]] = {}
        self._changes = 0

    async def start(self) -> None:
        """Begin to hear of changes; when some may have been missed, everything is asked for again."""
        await self._bus.subscribe(subjects.BOT_CHANGED, self._hear, on_drop=self.forget_all)
        self._bus.on_reconnect(self.forget_all)

    def __len__(self) -> int:
        return len(self._remembered)

    async def find(self, bot_id: str) -> Bot:
        """Return a bot.

        Raises:
            ParleyError: `not_found`; `unavailable` or `timeout` when accounts does not answer and it was not
                asked for within the last minute.
        """
        found = await self._find(bot_id) if 0 < len(bot_id) <= MAX_ID_CHARS else None
        if found is None:
            raise no_such_bot()
        return found

    async def _find(self, bot_id: str) -> Bot | None:
        while True:
            remembered = self._remembered.get(bot_id)
            if remembered is not None and remembered.until_s > time.monotonic():
                return remembered.bot
            asking = self._asking.get(bot_id)
            if asking is None:
                return await self._ask(bot_id)
            await asyncio.wait([asking])
            if not asking.cancelled():
                return asking.result()

    async def _ask(self, bot_id: str) -> Bot | None:
        answer = self._asking[bot_id] = asyncio.get_running_loop().create_future()
        changes = self._changes
        try:
            found = await self._read(bot_id)
            # What changed meanwhile may not have been known to who answered.
            if changes == self._changes:
                self._remember(bot_id, found)
            answer.set_result(found)
            return found
        except ParleyError as error:
            answer.set_exception(error)
            answer.exception()  # nobody may have waited for it
            raise
        finally:
            answer.cancel()
            del self._asking[bot_id]

    async def _read(self, bot_id: str) -> Bot | None:
        request = ReadPublicBot(bot_id=bot_id)
        try:
            return await self._bus.request(
                subjects.ACCOUNTS_READ_PUBLIC_BOT, request, Bot, timeout_s=ASK_TIMEOUT_S
            )
        except ParleyError as error:
            if error.code is ErrorCode.NOT_FOUND:
                return None
            raise

    def _remember(self, bot_id: str, found: Bot | None) -> None:
        lasts_s = MISSED_S if found is None else REMEMBERED_S
        self._remembered[bot_id] = _Remembered(found, time.monotonic() + lasts_s)
        self._remembered.move_to_end(bot_id)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)

    async def _hear(self, delivery: Delivery) -> None:
        try:
            changed = BotChanged.model_validate_json(delivery.data)
        except ValidationError:
            log.exception("a change of a bot cannot be read; all bots are asked for again")
            self.forget_all()
            return
        self._changes += 1
        self._remembered.pop(changed.bot_id, None)

    def forget_owner(self, revocation: Revocation) -> None:
        """Ask again for the bots of a user whose rights have changed."""
        if revocation.kind is not RevokedKind.USER:
            return
        self._changes += 1
        owner_id = revocation.revoked_id
        for bot_id in [
            key for key, one in self._remembered.items() if one.bot is None or one.bot.owner_id == owner_id
        ]:
            del self._remembered[bot_id]

    def forget_all(self) -> None:
        """Ask again for every bot."""
        self._changes += 1
        self._remembered.clear()
