"""Tells gateways of changes, at least once: events wait in the table that the change itself wrote them to."""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Protocol

from parley_contracts import subjects
from parley_contracts.audit import AuditEvent
from parley_contracts.bots import BotChanged
from parley_contracts.credentials import AccountsRevoked, Revocation, SigningKeysChanged
from parley_contracts.model import WireModel
from parley_contracts.notices import NoticeChanged
from parley_storage import Database
from sqlalchemy import Connection, Row, bindparam, delete, insert, select

from parley_accounts.tables import outbox

log = logging.getLogger("parley.accounts")

Event = AccountsRevoked | SigningKeysChanged | BotChanged | NoticeChanged | AuditEvent

_KINDS: dict[str, type[Event]] = {
    "accounts_revoked": AccountsRevoked,
    "signing_keys_changed": SigningKeysChanged,
    "bot_changed": BotChanged,
    "notice_changed": NoticeChanged,
    "audit_event": AuditEvent,
}
_SUBJECTS: dict[str, str] = {
    "accounts_revoked": subjects.ACCOUNTS_REVOKED,
    "signing_keys_changed": subjects.ACCOUNTS_KEYS_CHANGED,
    "bot_changed": subjects.BOT_CHANGED,
    "audit_event": subjects.audit_events("accounts"),
}
_BATCH = 100
_AUDIT = frozenset({"audit_event"})
_OTHERS = frozenset(_KINDS) - _AUDIT
_OLDEST = (
    select(outbox)
    .where(outbox.c.type.in_(bindparam("types", expanding=True)))
    .order_by(outbox.c.created_at_ms, outbox.c.id)
    .limit(_BATCH)
)
_FORGET = delete(outbox).where(outbox.c.id.in_(bindparam("ids", expanding=True)))


def add_event(connection: Connection, event: Event, at_ms: int) -> None:
    """Write an event down; it is published once the transaction has committed."""
    # Ids grow, so that what one transaction writes is told in its order.
    event_id = f"{time.time_ns():020}-{secrets.token_hex(4)}"
    row = {"id": event_id, "type": event.type, "body": event.model_dump_json(), "created_at_ms": at_ms}
    connection.execute(insert(outbox).values(**row))


def _subject_of(event: Event) -> str:
    return (
        subjects.notice_events(event.user_id) if isinstance(event, NoticeChanged) else _SUBJECTS[event.type]
    )


class EventBus(Protocol):
    """The part of the bus that takes domain events."""

    async def publish_event(self, subject: str, event: WireModel, *, message_id: str) -> None:
        """Publish and wait for the acknowledgement; raise when none comes."""
        ...


class Outbox:
    """Publishes waiting events when woken, at start, and every `sweep_s` for those of a dead process.

    Two processes may publish the same event; its message id lets the bus drop the second. What is refused
    is posted before it is published. Events of the audit have an outbox to themselves: while their stream
    takes none, what is revoked is told all the same.
    """

    def __init__(
        self,
        database: Database,
        bus: EventBus,
        *,
        is_of_audit: bool = False,
        post: Callable[[Collection[Revocation]], Awaitable[None]] | None = None,
        sweep_s: float = 30.0,
        first_retry_s: float = 0.1,
        last_retry_s: float = 15.0,
    ) -> None:
        self._database = database
        self._bus = bus
        self._types = sorted(_AUDIT if is_of_audit else _OTHERS)
        self._post = post
        self._sweep_s = sweep_s
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
        while waiting := await self._database.read(self._oldest):
            events = [_KINDS[row.type].model_validate_json(row.body) for row in waiting]
            if self._post is not None:
                await self._post([one.revocation for one in events if isinstance(one, AccountsRevoked)])
            published: list[str] = []
            try:
                for row, event in zip(waiting, events, strict=True):
                    await self._bus.publish_event(_subject_of(event), event, message_id=f"{row.id}:accounts")
                    published.append(row.id)
            finally:
                await self._forget(published)
            if len(waiting) < _BATCH:  # whoever has stored one meanwhile has woken this up again
                return

    def _oldest(self, connection: Connection) -> Sequence[Row[Any]]:
        return connection.execute(_OLDEST, {"types": self._types}).all()

    async def _forget(self, ids: list[str]) -> None:
        def forget(connection: Connection) -> None:
            connection.execute(_FORGET, {"ids": ids})

        if ids:
            await self._database.write(forget)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._sweep_s):
                await self._woken.wait()
        except TimeoutError:
            return
