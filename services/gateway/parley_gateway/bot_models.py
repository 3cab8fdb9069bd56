"""Bots as models of the OpenAI-compatible API: one's own, and those that are shared with one."""

import asyncio
from typing import Any

from parley_contracts import subjects
from parley_contracts.bots import BotList, ListBots
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission, effective
from parley_contracts.shared_bots import ListSharedBots, ReadSharedBot, SharedBot, SharedBotList
from parley_messaging import Bus

from parley_gateway.completion_request import BOT_PREFIX, MAX_BOT_ID_CHARS
from parley_gateway.principal import Principal

ASK_S = 2.0
MOST_LISTED = 500
"""Of one's own, and of others'; one that is not listed can be asked all the same."""


def is_bot(model_id: str) -> bool:
    """Return whether it names a bot."""
    return model_id.startswith(BOT_PREFIX)


class BotModels:
    """Asks accounts each time: what was taken away is not listed."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def of(self, principal: Principal) -> list[dict[str, Any]]:
        """Return those that can be asked; while accounts does not answer there are none to tell of."""
        if not principal.may(Permission.TURNS_WRITE):
            return []
        own, shared = await asyncio.gather(self._own(principal), self._shared(principal))
        return [*own, *shared]

    async def _own(self, principal: Principal) -> list[dict[str, Any]]:
        has_any = Permission.BOTS_WRITE in effective(principal.role, granted=principal.granted)
        if not has_any or not principal.may(Permission.BOTS_READ):
            return []
        asked = ListBots(**principal.asking, limit=MOST_LISTED)
        try:
            found = await self._bus.request(subjects.ACCOUNTS_LIST_BOTS, asked, BotList, timeout_s=ASK_S)
        except ParleyError:
            return []
        is_open = (one for one in found.bots if one.is_enabled and not one.is_blocked)
        return [_described(one.id, one.name, one.created_at_ms) for one in is_open]

    async def _shared(self, principal: Principal) -> list[dict[str, Any]]:
        asked = ListSharedBots(**principal.asking, limit=MOST_LISTED)
        try:
            found = await self._bus.request(
                subjects.ACCOUNTS_LIST_SHARED_BOTS, asked, SharedBotList, timeout_s=ASK_S
            )
        except ParleyError:
            return []
        return [_described(one.id, one.name, one.created_at_ms) for one in found.bots]

    async def read(self, principal: Principal, model_id: str) -> dict[str, Any]:
        """Return one that can be asked; ParleyError `model_not_found` for every other."""
        bot_id = model_id.removeprefix(BOT_PREFIX)
        not_found = ParleyError(ErrorCode.MODEL_NOT_FOUND, f"There is no model {model_id!r}.", field="model")
        if not 0 < len(bot_id) <= MAX_BOT_ID_CHARS or not principal.may(Permission.TURNS_WRITE):
            raise not_found
        asked = ReadSharedBot(**principal.asking, bot_id=bot_id)
        try:
            found = await self._bus.request(
                subjects.ACCOUNTS_READ_SHARED_BOT, asked, SharedBot, timeout_s=ASK_S
            )
        except ParleyError as error:
            raise not_found if error.code is ErrorCode.NOT_FOUND else error from None
        return _described(found.id, found.name, found.created_at_ms)


def _described(bot_id: str, name: str, created_at_ms: int) -> dict[str, Any]:
    return {
        "id": f"{BOT_PREFIX}{bot_id}",
        "object": "model",
        "created": created_at_ms // 1000,
        "owned_by": "bot",
        "name": name,
    }
