"""Bots that visitors ask: accounts is asked for one, and what it says is remembered until that changes."""

import logging

from parley_contracts import subjects
from parley_contracts.asked_once import AskedOnce
from parley_contracts.bots import BotChanged, PublicBot, ReadPublicBot
from parley_contracts.credentials import Revocation, RevokedKind
from parley_contracts.errors import ErrorCode, ParleyError
from parley_messaging import Bus
from parley_messaging.bus import Delivery
from parley_messaging.error_boundary import described
from pydantic import ValidationError

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
        self._known = AskedOnce[str, PublicBot | None](most_remembered)

    async def start(self) -> None:
        """Begin to hear of changes; when some may have been missed, everything is asked for again."""
        await self._bus.subscribe(subjects.BOT_CHANGED, self._hear, on_drop=self.forget_all)
        self._bus.on_reconnect(self.forget_all)

    def __len__(self) -> int:
        return len(self._known)

    async def find(self, bot_id: str) -> PublicBot:
        """Return a bot.

        Raises:
            ParleyError: `not_found`; `unavailable` or `timeout` when accounts does not answer and it was not
                asked for within the last minute.
        """
        found = await self._find(bot_id) if 0 < len(bot_id) <= MAX_ID_CHARS else None
        if found is None:
            raise no_such_bot()
        return found

    async def _find(self, bot_id: str) -> PublicBot | None:
        return await self._known.find(bot_id, lambda: self._read(bot_id))

    async def _read(self, bot_id: str) -> tuple[PublicBot | None, float]:
        request = ReadPublicBot(bot_id=bot_id)
        try:
            found = await self._bus.request(
                subjects.ACCOUNTS_READ_PUBLIC_BOT, request, PublicBot, timeout_s=ASK_TIMEOUT_S
            )
        except ParleyError as error:
            if error.code is ErrorCode.NOT_FOUND:
                return None, MISSED_S
            raise
        return found, REMEMBERED_S

    async def _hear(self, delivery: Delivery) -> None:
        try:
            changed = BotChanged.model_validate_json(delivery.data)
        except ValidationError as error:
            fault = described(error).message
            log.error(
                "a change of a bot cannot be read; all bots are asked for again", extra={"fault": fault}
            )
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
