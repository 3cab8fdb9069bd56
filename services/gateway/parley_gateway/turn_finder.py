"""Finds a turn by its id alone, on whichever gateway it was started and however far it has come."""

import asyncio
from dataclasses import dataclass

from parley_contracts import subjects
from parley_contracts.turns import PenClaim, Seal, StartTurn
from parley_messaging import Bus
from parley_messaging.pen import Pen
from parley_messaging.queues import TURNS
from pydantic import ValidationError

FIND_S = 0.5
FIND_STEP_S = 0.05


@dataclass(frozen=True, slots=True)
class FoundTurn:
    """Where a turn's events stand, and what it belongs to."""

    home: str
    conversation_id: str
    command: StartTurn | None = None


class TurnFinder:
    """Looks at the turn's first pen slot, then at the queue in which it waits for a runner."""

    def __init__(self, bus: Bus, pen: Pen) -> None:
        self._bus = bus
        self._pen = pen

    async def find(self, turn_id: str) -> FoundTurn | None:
        """Return the turn, or None when neither a claim nor a waiting command of it is there."""
        if first := await self._pen.read(turn_id, 1):
            return _of_claim(first)
        stored = await self._bus.last_stored(TURNS.stream, subjects.turn_start(turn_id))
        if stored is None:
            # It may have been claimed, and even ended, between the two looks.
            first = await self._pen.read(turn_id, 1)
            return None if first is None else _of_claim(first)
        try:
            command = StartTurn.model_validate_json(stored.data)
        except ValidationError:
            return None
        return FoundTurn(command.turn.home, command.conversation_id, command)

    async def find_soon(self, turn_id: str) -> FoundTurn | None:
        """Return the turn, allowing for a replica that does not have it yet."""
        try:
            async with asyncio.timeout(FIND_S):
                # Nobody is told of what a replica has yet to receive.
                while (found := await self.find(turn_id)) is None:  # noqa: ASYNC110 - see above
                    await asyncio.sleep(FIND_STEP_S)
                return found
        except TimeoutError:
            return None


def _of_claim(first: PenClaim | Seal) -> FoundTurn:
    if isinstance(first, Seal):
        return FoundTurn(first.turn.home, first.conversation_id)
    conversation_id = first.command.conversation_id if first.command else ""
    return FoundTurn(first.home, conversation_id, first.command)
