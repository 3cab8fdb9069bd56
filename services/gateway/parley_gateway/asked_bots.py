"""What a turn is started by when a bot is asked: its prompt, models, collections and limits."""

import re
from collections.abc import Sequence

from parley_contracts.bots import Bot, MemoryPolicy
from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.tools import TOOL_NAME
from parley_contracts.turns import ChatMessage, GenerationParams, ModelLink, TurnBot


def is_kept(bot: Bot) -> bool:
    """Return whether what is said with a bot is kept as a conversation."""
    return bot.settings.memory is MemoryPolicy.SESSION


def turn_bot(bot: Bot) -> TurnBot:
    """Return what a turn takes from a bot, as that is now."""
    return TurnBot(id=bot.id, version=bot.version, owner_id=bot.owner_id, prompt=bot.settings.prompt)


def bot_chain(bot: Bot) -> tuple[ModelLink, ...]:
    """Return the models of a bot in their order; none stands for the installation's default."""
    limit = bot.settings.limits.answer_tokens
    return tuple(
        ModelLink(model=one.model, params=_limited(one.params, limit)) for one in bot.settings.models
    )


def bot_frame(
    bot: Bot,
    text: str,
    *,
    turn_id: str | None,
    conversation_id: str | None,
    history: Sequence[ChatMessage] = (),
) -> StartTurnFrame:
    """Return a turn that asks a bot; all but the text and what was sent with it is the bot's.

    Its models are told apart, by `bot_chain`.

    Raises:
        ParleyError: `too_large` for more than the bot takes.
    """
    settings = bot.settings
    _require_short(text, history, settings.limits.question_chars)
    return StartTurnFrame(
        type="start_turn",
        turn_id=turn_id,
        conversation_id=conversation_id,
        text=text,
        collections=settings.collections,
        tools=tuple(name for name in settings.tools if re.fullmatch(TOOL_NAME, name)),
        params=_limited(GenerationParams(), settings.limits.answer_tokens),
        cache=settings.uses_cache,
    )


def _require_short(text: str, history: Sequence[ChatMessage], most: int) -> None:
    """Raise `too_large` for more than a bot takes of all that is sent, whoever is said to have said it."""
    if len(text) > most:
        raise ParleyError(ErrorCode.TOO_LARGE, f"text: at most {most} characters.", field="text")
    if len(text) + sum(len(one.content) for one in history) > most:
        message = f"messages: at most {most} characters in all."
        raise ParleyError(ErrorCode.TOO_LARGE, message, field="messages")


def _limited(params: GenerationParams, answer_tokens: int | None) -> GenerationParams:
    limits = [limit for limit in (params.max_tokens, answer_tokens) if limit is not None]
    return params.model_copy(update={"max_tokens": min(limits, default=None)})
