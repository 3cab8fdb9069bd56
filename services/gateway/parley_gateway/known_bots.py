"""Bots that visitors ask: accounts is asked for one, and what it says is remembered until that changes."""

import logging

from parley_contracts import subjects
from parley_contracts.bots import Bot, BotChanged, ReadPublicBot
from parley_contracts.credentials import Revocation, RevokedKind
from parley_contracts.errors import ErrorCode, ParleyError
from parley_messaging import Bus
from parley_messaging.bus import Delivery
from pydantic import ValidationError

from parley_gateway.asked_once import AskedOnce

log = logging.getLogger("parley.gateway")

REMEMBERED_S = 60.0
MISSED_S = 5.0
"""How long it is remembered that there is no such bot."""
MOST_REMEMBERED = 2_000
"""Beyond it the one that was asked for longest ago is forgotten, and asked for again."""
ASK_TIMEOUT_S = 3.0
MAX_ID_CHARS = 64


def no_such_bot() -> ParleyError:
    """Return the one error for a bot that is not there, is disabled or may not be had any more."""
    return ParleyError(ErrorCode.NOT_FOUND, "There is no such bot.", field="bot_id")


class KnownBots:
    """Asks once for all who ask at the same time; forgets what an event or a revocation is about."""

    def __init__(self, bus: Bus, *, most_remembered: int = MOST_REMEMBERED) -> None:
        self._bus = bus
        self._known = AskedOnce[str, Bot | None](most_remembered)

    async def start(self) -> None:
        """Begin to hear of changes; when some may have been missed, everything is asked for again."""
        await self._bus.subscribe(subjects.BOT_CHANGED, self._hear, on_drop=self.forget_all)
        self._bus.on_reconnect(self.forget_all)

    def __len__(self) -> int:
        return len(self._known)

    async def find(self, bot_id: str) -> Bot:
        """Return a bot.

        Raises:
            ParleyError: `not_found`; `unavailable` or `timeout` when accounts does not answer and it was not
                asked for within the last minute.
        """
        found = None
        if 0 < len(bot_id) <= MAX_ID_CHARS:
            found = await self._known.find(bot_id, lambda: self._read(bot_id))
        if found is None:
            raise no_such_bot()
        return found

    async def _read(self, bot_id: str) -> tuple[Bot | None, float]:
        request = ReadPublicBot(bot_id=bot_id)
        try:
            found = await self._bus.request(
                subjects.ACCOUNTS_READ_PUBLIC_BOT, request, Bot, timeout_s=ASK_TIMEOUT_S
            )
        except ParleyError as error:
            if error.code is ErrorCode.NOT_FOUND:
                return None, MISSED_S
            raise
        return found, REMEMBERED_S

    async def _hear(self, delivery: Delivery) -> None:
        try:
            changed = BotChanged.model_validate_json(delivery.data)
        except ValidationError:
            log.exception("a change of a bot cannot be read; all bots are asked for again")
            self.forget_all()
            return
        self._known.forget(changed.bot_id)

    def forget_owner(self, revocation: Revocation) -> None:
        """Ask again for the bots of a user whose rights have changed."""
        if revocation.kind is not RevokedKind.USER:
            return
        owner_id = revocation.revoked_id
        self._known.forget_where(lambda bot: bot is None or bot.owner_id == owner_id)

    def forget_all(self) -> None:
        """Ask again for every bot."""
        self._known.forget_all()
