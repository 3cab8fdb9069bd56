"""Hears what other services tell of a user's work, and writes it down as notices: each event exactly once.

Up to where a stream was read stands in the database, and moves in the transaction that writes the notices.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from parley_contracts import stream_names, subjects
from parley_contracts.errors import ParleyError
from parley_contracts.notices import DocumentFailed, NoticeFacts, NoticeKind
from parley_messaging.bus import Delivery, OnDelivery, OnDrop, OnReconnect, StoredMessage, Subscription
from parley_storage import Database
from pydantic import ValidationError
from sqlalchemy import Connection, select, update

from parley_accounts.notices.notices import Notices
from parley_accounts.notices.tables import read_events

log = logging.getLogger("parley.accounts")

LOOK_EVERY_S = 30.0
"""An event may be stored while nobody hears it."""
_BATCH = 50


class NewsBus(Protocol):
    """The part of the bus that tells of events and keeps them."""

    async def subscribe(
        self, subject: str, on_delivery: OnDelivery, *, on_drop: OnDrop | None = None
    ) -> Subscription:
        """Hear core messages."""
        ...

    def on_reconnect(self, tell: OnReconnect) -> None:
        """Call `tell` whenever the bus is back."""
        ...

    async def last_stored(self, stream: str, subject: str) -> StoredMessage | None:
        """Return the newest stored message of a subject."""
        ...

    async def next_stored(self, stream: str, subject: str, from_stream_seq: int) -> StoredMessage | None:
        """Return the first stored message of a subject at or after a sequence."""
        ...


@dataclass(frozen=True, slots=True)
class _New:
    """What an event tells a user of."""

    user_id: str
    kind: NoticeKind
    facts: NoticeFacts


class News:
    """Reads events from the stream when it hears one, after a while, and when the bus is back."""

    def __init__(
        self, database: Database, bus: NewsBus, told: Notices, *, on_news: Callable[[], None]
    ) -> None:
        self._database = database
        self._bus = bus
        self._notices = told
        self._on_news = on_news
        self._woken = asyncio.Event()
        self._readers: dict[str, Callable[[bytes], _New]] = {subjects.DOCUMENT_FAILED: _read_failed}

    async def run(self) -> None:
        """Read until cancelled."""
        for subject in self._readers:
            await self._bus.subscribe(subject, self._hear, on_drop=self._woken.set)
        self._bus.on_reconnect(self._woken.set)
        while True:
            self._woken.clear()
            try:
                await self.catch_up()
            except ParleyError as error:
                log.warning("events cannot be read", extra={"reason": error.message})
            except Exception:
                log.exception("events cannot be read")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._woken.wait()

    async def _hear(self, _: Delivery) -> None:
        self._woken.set()

    async def catch_up(self) -> None:
        """Read everything that has not been read."""
        for subject in self._readers:
            while await self._read_some(subject):
                self._on_news()

    async def _read_some(self, subject: str) -> bool:
        """Read a batch; False when there was nothing."""
        query = select(read_events.c.stream_seq).filter_by(subject=subject)
        before = await self._database.read(lambda connection: connection.execute(query).scalar_one_or_none())
        after_seq = before or 0
        last = await self._bus.last_stored(stream_names.DOMAIN_EVENTS, subject)
        if last is None or last.stream_seq == after_seq:
            return False
        if last.stream_seq < after_seq:
            # A stream that was lost and made again counts from one.
            after_seq = 0
        found: list[StoredMessage] = []
        while len(found) < _BATCH:
            next_seq = (found[-1].stream_seq if found else after_seq) + 1
            message = await self._bus.next_stored(stream_names.DOMAIN_EVENTS, subject, next_seq)
            if message is None:
                break
            found.append(message)
        if not found:
            return False
        await self._database.write(lambda connection: self._write(connection, subject, before, found))
        return True

    def _write(
        self, connection: Connection, subject: str, before: int | None, found: list[StoredMessage]
    ) -> None:
        """Write notices of what was read, unless another process has meanwhile."""
        first = self._database.insert(read_events).values(subject=subject, stream_seq=0)
        connection.execute(first.on_conflict_do_nothing())
        moved = update(read_events).where(
            read_events.c.subject == subject, read_events.c.stream_seq == (before or 0)
        )
        if connection.execute(moved.values(stream_seq=found[-1].stream_seq)).rowcount == 0:
            return
        news = [one for message in found if (one := self._read(subject, message.data)) is not None]
        # Sorted: whoever locks several users does so in this order.
        for one in sorted(news, key=lambda one: one.user_id):
            self._notices.add(connection, one.user_id, one.kind, one.facts)

    def _read(self, subject: str, data: bytes) -> _New | None:
        try:
            return self._readers[subject](data)
        except ValidationError as error:
            faults = [fault["type"] for fault in error.errors(include_input=False, include_url=False)]
            log.warning(
                "an event cannot be read and is left out", extra={"subject": subject, "faults": faults}
            )
            return None


def _read_failed(data: bytes) -> _New:
    event = DocumentFailed.model_validate_json(data)
    return _New(event.owner_id, NoticeKind.DOCUMENT_FAILED, NoticeFacts(document_id=event.document_id))
