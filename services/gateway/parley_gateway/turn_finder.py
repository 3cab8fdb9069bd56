"""Finds a turn by its id alone, on whichever gateway it was started and however far it has come."""

import asyncio
from dataclasses import dataclass

from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turns import PenClaim, Seal, StartTurn
from parley_messaging import Bus
from parley_messaging.pen import Pen
from parley_messaging.queues import TURNS
from pydantic import ValidationError

FIND_S = 0.5
FIND_STEP_S = 0.05

_ASKED = (
    "conversation_id",
    "continues_conversation",
    "text",
    "attachments",
    "history",
    "continuation",
    "tools",
    "named_tools",
    "collections",
    "web",
    "model",
    "models",
    "params",
    "uses_cache",
    "is_stored",
)
"""What of a command the client decides; the rest is the gateway's."""
_ASKED_OF_A_BOT = ("conversation_id", "continues_conversation", "text", "attachments")
"""What of it a visitor decides; the rest is the bot's, which may be another one by now."""


@dataclass(frozen=True, slots=True)
class FoundTurn:
    """Where a turn's events stand, and what it belongs to."""

    home: str
    conversation_id: str
    command: StartTurn | None = None
    accepted_at_ms: int = 0
    text: str | None = None

    def was_asked_by(self, command: StartTurn) -> bool:
        """Return whether `command` asks for the same, as far as the turn still says what it was asked."""
        if self.command is None:
            return self.text is None or self.text == command.text
        bots = [None if one.bot is None else one.bot.id for one in (self.command, command)]
        fields = _ASKED if bots == [None, None] else _ASKED_OF_A_BOT
        return bots[0] == bots[1] and all(
            getattr(self.command, field) == getattr(command, field) for field in fields
        )


class TurnFinder:
    """Looks at the turn's first pen slot, then at the queue in which it waits for a runner."""

    def __init__(self, bus: Bus, pen: Pen) -> None:
        self._bus = bus
        self._pen = pen

    async def find(self, turn_id: str) -> FoundTurn | None:
        """Return the turn, or None when neither a claim nor a waiting command of it is there.

        Raises:
            ParleyError: `unavailable` at the first read that fails, for a client waits.
        """
        if (found := await self.find_at_once(turn_id)) is not None:
            return found
        # It may have been claimed, and even ended, between the two looks.
        return await self.find_claimed(turn_id)

    async def find_at_once(self, turn_id: str) -> FoundTurn | None:
        """Look in both places side by side; a turn that begins and ends meanwhile may go unseen."""
        claimed, waiting = await asyncio.gather(self.find_claimed(turn_id), self._waiting(turn_id))
        # Whoever claimed it first chose where its events stand.
        return claimed or waiting

    async def find_claimed(self, turn_id: str) -> FoundTurn | None:
        """Return the turn if anybody has claimed it, or an ending stands in its first slot."""
        first = await self._pen.read(turn_id, 1, within_s=0)
        return None if first is None else _of_claim(first)

    async def is_queued(self, turn_id: str) -> bool:
        """Return whether a turn is accepted and not done with."""
        return await self._bus.last_stored(TURNS.stream, subjects.turn_start(turn_id)) is not None

    async def _waiting(self, turn_id: str) -> FoundTurn | None:
        stored = await self._bus.last_stored(TURNS.stream, subjects.turn_start(turn_id))
        if stored is None:
            return None
        try:
            command = StartTurn.model_validate_json(stored.data)
        except ValidationError:
            return None
        return _of_command(command.turn.home, command)

    async def find_soon(self, turn_id: str) -> FoundTurn | None:
        """Return the turn, allowing for a replica that does not have it yet.

        Raises:
            ParleyError: `unavailable` when the bus does not answer: a look that takes long says nothing.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + FIND_S
        # Nobody is told of what a replica has yet to receive.
        while (found := await self.find(turn_id)) is None and loop.time() < until_s:  # noqa: ASYNC110 - see above
            await asyncio.sleep(FIND_STEP_S)
        return found


def _of_claim(first: PenClaim | Seal) -> FoundTurn:
    if isinstance(first, Seal):
        return FoundTurn(
            first.home, first.conversation_id, accepted_at_ms=first.accepted_at_ms, text=first.user_text
        )
    return FoundTurn(first.home, "") if first.command is None else _of_command(first.home, first.command)


def _of_command(home: str, command: StartTurn) -> FoundTurn:
    return FoundTurn(home, command.conversation_id, command, command.accepted_at_ms)


def same_turn(command: StartTurn, found: FoundTurn) -> StartTurn:
    """Return the repeat of a turn as that stands; ParleyError `conflict` when it asks for something else."""
    if not found.was_asked_by(command):
        raise ParleyError(ErrorCode.CONFLICT, "That turn was asked something else.", field="turn_id")
    return command.model_copy(update={"turn": command.turn.model_copy(update={"home": found.home})})


def no_such_turn() -> ParleyError:
    """Return the one error for a turn that is not there, or another owner's."""
    return ParleyError(ErrorCode.NOT_FOUND, "There is no such turn.", field="turn_id")
