"""What a turn is started by when a bot is asked: its prompt, models, collections and limits."""

import re
from collections.abc import Sequence

from parley_contracts.bots import Bot, BotModel, MemoryPolicy
from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.tools import TOOL_NAME
from parley_contracts.turns import ChatMessage, GenerationParams, TurnBot

from parley_gateway.models import Models


def is_kept(bot: Bot) -> bool:
    """Return whether what is said with a bot is kept as a conversation."""
    return bot.settings.memory is MemoryPolicy.SESSION


def turn_bot(bot: Bot) -> TurnBot:
    """Return what a turn takes from a bot, as that is now."""
    return TurnBot(id=bot.id, version=bot.version, owner_id=bot.owner_id, prompt=bot.settings.prompt)


async def bot_frame(
    bot: Bot,
    models: Models,
    text: str,
    *,
    turn_id: str | None,
    conversation_id: str | None,
    history: Sequence[ChatMessage] = (),
) -> StartTurnFrame:
    """Return a turn that asks a bot; all but the text and what was sent with it is the bot's.

    Raises:
        ParleyError: `too_large` for more than the bot takes; `unavailable` while none of its models is there.
    """
    settings = bot.settings
    _require_short(text, history, settings.limits.question_chars)
    model = await _choose(models, settings.models)
    return StartTurnFrame(
        type="start_turn",
        turn_id=turn_id,
        conversation_id=conversation_id,
        text=text,
        collections=settings.collections,
        tools=tuple(name for name in settings.tools if re.fullmatch(TOOL_NAME, name)),
        model=None if model is None else model.model,
        params=_limited(model, settings.limits.answer_tokens),
    )


def _require_short(text: str, history: Sequence[ChatMessage], most: int) -> None:
    """Raise `too_large` for more than a bot takes of all that is sent, whoever is said to have said it."""
    if len(text) > most:
        raise ParleyError(ErrorCode.TOO_LARGE, f"text: at most {most} characters.", field="text")
    if len(text) + sum(len(one.content) for one in history) > most:
        message = f"messages: at most {most} characters in all."
        raise ParleyError(ErrorCode.TOO_LARGE, message, field="messages")


async def _choose(models: Models, chain: tuple[BotModel, ...]) -> BotModel | None:
    """Return the first model of the chain that there is; None stands for the installation's default."""
    for model in chain:
        try:
            await models.choose(model.model)
        except ParleyError as error:
            if error.code is not ErrorCode.MODEL_NOT_FOUND:
                raise
        else:
            return model
    if chain:
        raise ParleyError(ErrorCode.UNAVAILABLE, "None of the bot's models is there.")
    return None


def _limited(model: BotModel | None, answer_tokens: int | None) -> GenerationParams:
    params = GenerationParams() if model is None else model.params
    limits = [limit for limit in (params.max_tokens, answer_tokens) if limit is not None]
    return params.model_copy(update={"max_tokens": min(limits, default=None)})
