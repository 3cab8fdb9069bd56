"""Tells the bus of stored turns, at least once: events wait in the table that the store wrote them to."""

import asyncio
import logging
from typing import Protocol

from parley_contracts import subjects
from parley_contracts.memory import ConversationTurnCompleted
from parley_contracts.model import WireModel
from parley_contracts.turns import TurnOutcome
from parley_storage import Database
from sqlalchemy import Connection, bindparam, delete, select

from parley_memory.metrics import MemoryMetrics
from parley_memory.tables import outbox

log = logging.getLogger("parley.memory")

_BATCH = 100
_OLDEST = select(outbox).order_by(outbox.c.stored_at_ms, outbox.c.turn_id).limit(_BATCH)
_FORGET = delete(outbox).where(outbox.c.turn_id.in_(bindparam("turn_ids", expanding=True)))


class EventBus(Protocol):
    """The part of the bus that takes domain events."""

    async def publish_event(self, subject: str, event: WireModel, *, message_id: str) -> None:
        """Publish and wait for the acknowledgement; raise when none comes."""
        ...


class Outbox:
    """Publishes waiting events when woken, at start, and every `sweep_s` for those of a dead process.

    Two processes may publish the same event; its message id lets the bus drop the second.
    """

    def __init__(
        self,
        database: Database,
        bus: EventBus,
        metrics: MemoryMetrics,
        *,
        sweep_s: float = 30.0,
        gather_s: float = 0.2,
        first_retry_s: float = 0.2,
        last_retry_s: float = 15.0,
    ) -> None:
        self._database = database
        self._bus = bus
        self._metrics = metrics
        self._sweep_s = sweep_s
        self._gather_s = gather_s
        self._first_retry_s = first_retry_s
        self._last_retry_s = last_retry_s
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Say that an event may wait; returns at once."""
        self._woken.set()

    async def run(self) -> None:
        """Publish until cancelled; what cannot be published is tried again ever more slowly."""
        retry_s = self._first_retry_s
        while True:
            self._woken.clear()
            try:
                await self.drain()
            except Exception:
                log.warning("events could not be published", exc_info=True, extra={"retry_s": retry_s})
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, self._last_retry_s)
                continue
            retry_s = self._first_retry_s
            await self._wait()

    async def drain(self) -> None:
        """Publish what waits, oldest first; raises what the bus or the database raises."""
        while events := await self._waiting():
            await self._publish(events)
            if len(events) < _BATCH:  # whoever has stored one meanwhile has woken this up again
                return

    async def _publish(self, events: list[ConversationTurnCompleted]) -> None:
        published: list[str] = []
        try:
            for event in events:
                await self._bus.publish_event(
                    subjects.CONVERSATION_TURN_COMPLETED, event, message_id=f"{event.turn_id}:stored"
                )
                published.append(event.turn_id)
        finally:
            await self._forget(published)

    async def _waiting(self) -> list[ConversationTurnCompleted]:
        rows = await self._database.read(lambda connection: connection.execute(_OLDEST).all())
        return [
            ConversationTurnCompleted(
                owner_id=row.owner_id,
                conversation_id=row.conversation_id,
                turn_id=row.turn_id,
                outcome=TurnOutcome(row.outcome),
                stored_at_ms=row.stored_at_ms,
            )
            for row in rows
        ]

    async def _forget(self, turn_ids: list[str]) -> None:
        if not turn_ids:
            return

        def forget(connection: Connection) -> None:
            connection.execute(_FORGET, {"turn_ids": turn_ids})

        await self._database.write(forget)
        self._metrics.events_published.inc(len(turn_ids))

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._sweep_s):
                await self._woken.wait()
        except TimeoutError:
            return
        # Nobody waits for these events, and those of one moment share two transactions.
        await asyncio.sleep(self._gather_s)
