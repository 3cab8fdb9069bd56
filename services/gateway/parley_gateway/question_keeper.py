"""Has questions stored as soon as their turns run, so that other devices see them; nobody waits for it."""

import asyncio
import logging

from parley_contracts import subjects
from parley_contracts.errors import ParleyError
from parley_contracts.memory import Stored, StoreUserMessage
from parley_contracts.turns import StartTurn
from parley_messaging import Bus

log = logging.getLogger("parley.gateway")

WAITING = 1000
KEEPERS = 4
STORE_S = 2.0


class QuestionKeeper:
    """Full or failing, it lets a question go: the turn's seal stores it in any case."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: asyncio.Queue[StartTurn] = asyncio.Queue(WAITING)

    def keep(self, command: StartTurn) -> None:
        """Have the question of a turn stored soon."""
        if command.is_stored and not self._waiting.full():
            self._waiting.put_nowait(command)

    async def run(self) -> None:
        """Store questions until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(KEEPERS):
                tasks.create_task(self._store_all())

    async def _store_all(self) -> None:
        while True:
            command = await self._waiting.get()
            request = StoreUserMessage(
                owner_id=command.turn.owner_id,
                turn=command.turn,
                conversation_id=command.conversation_id,
                text=command.text,
                created_at_ms=command.accepted_at_ms,
            )
            try:
                await self._bus.request(
                    subjects.MEMORY_STORE_USER_MESSAGE, request, Stored, timeout_s=STORE_S
                )
            except ParleyError as error:
                log.info("question is not stored yet", extra={"code": error.code})
            except Exception:
                log.exception("question was not stored")
