"""Has questions stored as soon as their turns run, so that other devices see them; nobody waits for it."""

import asyncio
import logging
from collections.abc import Generator
from contextlib import contextmanager

from parley_contracts import subjects
from parley_contracts.errors import ParleyError
from parley_contracts.memory import Stored, StoreUserMessage
from parley_contracts.turns import StartTurn
from parley_messaging import Bus
from parley_messaging.acting import acting_for, system_of
from parley_messaging.circuit import Circuit

log = logging.getLogger("parley.gateway")

WAITING = 1000
KEEPERS = 4
STORE_S = 2.0
AFTER_S = 0.25
"""By then most turns have their first token: until then the processors are theirs."""


class QuestionKeeper:
    """Full or failing, it lets a question go: the turn's seal stores it in any case."""

    def __init__(self, bus: Bus, storing: Circuit) -> None:
        self._bus = bus
        self._storing = storing
        self._waiting: asyncio.Queue[tuple[float, StartTurn]] = asyncio.Queue(WAITING)
        self._running: set[str] = set()

    @contextmanager
    def keeping(self, command: StartTurn) -> Generator[None]:
        """Have the question of a turn stored soon, if the turn's work, the body, is not done before."""
        if not command.is_stored or self._waiting.full():
            yield
            return
        self._waiting.put_nowait((asyncio.get_running_loop().time() + AFTER_S, command))
        self._running.add(command.turn.turn_id)
        try:
            yield
        finally:
            self._running.discard(command.turn.turn_id)

    async def run(self) -> None:
        """Store questions until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(KEEPERS):
                tasks.create_task(self._store_all())

    async def _store_all(self) -> None:
        while True:
            due_s, command = await self._waiting.get()
            await asyncio.sleep(due_s - asyncio.get_running_loop().time())
            if command.turn.turn_id not in self._running:
                continue
            request = StoreUserMessage(
                owner_id=command.turn.owner_id,
                turn=command.turn,
                conversation_id=command.conversation_id,
                text=command.text,
                attachments=command.attachments,
                created_at_ms=command.accepted_at_ms,
            )
            try:
                with acting_for(system_of(request.owner_id)), self._storing.passing(STORE_S):
                    await self._bus.request(
                        subjects.MEMORY_STORE_USER_MESSAGE, request, Stored, timeout_s=STORE_S
                    )
            except ParleyError as error:
                log.info("question is not stored yet", extra={"code": error.code})
            except Exception:
                log.exception("question was not stored")
