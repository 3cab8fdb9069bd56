"""Turns of users, who ask a bot of theirs, or one that is shared with a group of theirs, or none."""

from parley_contracts import subjects
from parley_contracts.bots import Bot
from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.shared_bots import AskBot
from parley_contracts.turns import ChatMessage
from parley_messaging import Bus
from parley_messaging.turn_watch import Sink

from parley_gateway.asked_bots import bot_chain, bot_frame, is_kept, turn_bot
from parley_gateway.caller_side import CALLS_NOTHING, CallerSide
from parley_gateway.principal import Principal
from parley_gateway.spending import BotPayer
from parley_gateway.turn_door import AcceptedTurn, TurnDoor

ASK_S = 3.0


class BotTurns:
    """The turn is its user's, and the documents are the bot's owner's.

    Whether he may ask the bot is asked of accounts for each turn: nothing that was taken away lingers.
    """

    def __init__(self, bus: Bus, door: TurnDoor) -> None:
        self._bus = bus
        self._door = door

    async def start(
        self,
        principal: Principal,
        frame: StartTurnFrame,
        sink: Sink,
        *,
        history: tuple[ChatMessage, ...] | None = None,
        caller: CallerSide = CALLS_NOTHING,
        is_stored: bool = True,
    ) -> AcceptedTurn:
        """Start a turn, of the bot that it names.

        Raises:
            ParleyError: As of the door; `not_found` for a bot that is not for him, `invalid_request` for what
                is the bot's to say, `too_large` for more than it takes.
        """
        if frame.bot_id is None:
            return await self._door.start(
                principal, frame, sink, history=history, caller=caller, is_stored=is_stored
            )
        _require_plain(frame)
        if caller.files or any(one.attachments for one in history or ()):
            message = "messages: bots take no files yet."
            raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="messages")
        if caller != CALLS_NOTHING:
            message = "tools: a bot has its own; leave them out."
            raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="tools")
        request = AskBot(**principal.asking, bot_id=frame.bot_id)
        bot = await self._bus.request(subjects.ACCOUNTS_ASK_BOT, request, Bot, timeout_s=ASK_S)
        asked = bot_frame(
            bot,
            frame.text,
            turn_id=frame.turn_id,
            conversation_id=frame.conversation_id if is_kept(bot) else None,
            history=history or (),
        )
        return await self._door.start(
            principal,
            asked,
            sink,
            history=history,
            is_stored=is_stored and is_kept(bot),
            bot=turn_bot(bot),
            payer=BotPayer(bot.settings.limits),
            chain=bot_chain(bot),
        )


def _require_plain(frame: StartTurnFrame) -> None:
    """Raise `invalid_request` for what a bot's settings say, so that nobody believes to have said it."""
    if frame.attachments:
        message = "attachments: bots take no files yet."
        raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="attachments")
    # No collections at all is a choice too; no tools is what everybody says.
    said = {"model": frame.model, "collections": frame.collections, "web": frame.web or None}
    said |= {"tools": frame.tools or None, "models": frame.models or None, "cache": frame.cache or None}
    for field, value in said.items():
        if value is not None:
            message = f"{field}: the bot's own is used; leave it out."
            raise ParleyError(ErrorCode.INVALID_REQUEST, message, field=field)
