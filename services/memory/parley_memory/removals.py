"""What goes behind the rows of attachments: their content, also after a crash, and what nothing has sent."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from parley_contracts.rag import sealed_key
from parley_storage import Database
from sqlalchemy import ColumnElement, Connection, delete, exists, insert, select, true

from parley_memory.tables import attachments, message_attachments, removals

log = logging.getLogger("parley.memory")

MOST_AT_ONCE = 200


class Objects(Protocol):
    """The object store, as far as memory handles it."""

    async def delete(self, key: str) -> None:
        """Forget what is kept under `key`; one that is not there is fine."""
        ...


def remove_attachments(connection: Connection, ids: Sequence[str]) -> int:
    """Remove attachments; their content goes when the removal that is noted is carried out."""
    if not ids:
        return 0
    gone = delete(attachments).where(attachments.c.id.in_(ids))
    rows = connection.execute(gone.returning(attachments.c.object_id, attachments.c.owner_id)).all()
    if rows:
        noted = [{"object_id": row.object_id, "owner_id": row.owner_id} for row in rows]
        connection.execute(insert(removals), noted)
    return len(rows)


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


class Removals:
    """Carries out removals when woken and every `sweep_s`, and then also removes what nothing has sent."""

    def __init__(
        self,
        database: Database,
        objects: Objects,
        *,
        sweep_s: float = 30.0,
        clock_ms: Callable[[], int] = _unix_ms,
    ) -> None:
        self._database = database
        self._objects = objects
        self._sweep_s = sweep_s
        self._clock_ms = clock_ms
        self._woken = asyncio.Event()

    @property
    def now_ms(self) -> int:
        """The time that expiry goes by, Unix milliseconds."""
        return self._clock_ms()

    def wake(self) -> None:
        """Say that a removal may wait; returns at once."""
        self._woken.set()

    async def run(self) -> None:
        """Sweep until cancelled; what cannot be removed now is tried again."""
        while True:
            self._woken.clear()
            try:
                await self.sweep()
            except Exception:
                log.warning("files could not be removed", exc_info=True)
            try:
                async with asyncio.timeout(self._sweep_s):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def sweep(self) -> None:
        """Remove what has expired, and carry out what is noted."""
        while await self._database.write(self._expire):
            continue
        while await self.finish():
            continue

    async def finish(self, whose: ColumnElement[bool] | None = None) -> int:
        """Remove the content of some removals, and then these; return how many there were."""
        is_wanted = true() if whose is None else whose
        query = select(removals).where(is_wanted).limit(MOST_AT_ONCE)
        noted = await self._database.read(lambda connection: connection.execute(query).all())
        for row in noted:
            await self._objects.delete(sealed_key(row.owner_id, row.object_id))
        if noted:
            done = delete(removals).where(removals.c.object_id.in_([row.object_id for row in noted]))
            await self._database.write(lambda connection: connection.execute(done))
        return len(noted)

    def _expire(self, connection: Connection) -> int:
        is_sent = exists().where(message_attachments.c.attachment_id == attachments.c.id)
        query = (
            select(attachments.c.id)
            .where(attachments.c.expires_at_ms <= self._clock_ms(), ~is_sent)
            .limit(MOST_AT_ONCE)
            .with_for_update()
        )
        return remove_attachments(connection, connection.execute(query).scalars().all())
