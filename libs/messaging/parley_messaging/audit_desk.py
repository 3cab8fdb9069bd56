"""Where a process hands in what it did, to be stored in the audit's stream: in order, acknowledged, later."""

import asyncio
import logging
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

from parley_contracts import subjects
from parley_contracts.addresses import host_of
from parley_contracts.audit import Action, AuditEvent, Outcome
from parley_contracts.audit_policy import SUBJECTS, Written
from parley_contracts.model import WireModel

from parley_messaging.audit_record import AuditRecord, of_itself
from parley_messaging.provenance import read_provenance

log = logging.getLogger("parley.messaging")

MOST_WAITING = 10_000
"""Full rule: the newest event is lost, counted, and how many were lost is told as soon as there is room."""
FOLD_S = 60.0
MOST_FOLDED = 4096
MOST_APART = 32
"""What one asker is refused in a minute and told apart: objects, routes, reasons. The rest is one event."""
_REST = ("...",)
RETRY_S = 0.25
MAX_RETRY_S = 5.0


class EventBus(Protocol):
    """The part of the bus that takes events."""

    async def publish_event(self, subject: str, event: WireModel, *, message_id: str) -> None:
        """Publish and wait for the acknowledgement; raise when none comes."""
        ...


@dataclass(slots=True)
class _Fold:
    until_s: float
    subject: str
    event: AuditEvent
    asker: tuple[str, ...]
    more: int = 0


@dataclass(frozen=True, slots=True)
class Audited:
    """What is written of the requests of one subject, and by which service."""

    written: Written
    service: str
    desk: "AuditDesk"

    def record(self, asked: WireModel, found: Mapping[str, str]) -> AuditRecord:
        """Return the record of a request with these headers."""
        return AuditRecord(self.written, asked, read_provenance(found))

    def tell(self, event: AuditEvent | None) -> None:
        """Hand an event in, if there is one."""
        if event is not None:
            self.desk.hand_in(self.service, event)


class AuditDesk:
    """Takes events at once and publishes them in the background; whoever asked for something never waits.

    What is refused to the same asker again and again within a minute is one event, and one that counts the
    rest: nobody fills the audit by asking for what he may not have. Different objects are told apart, as far
    as they are few; an asker is a host, so that who holds a network of IPv6 is not many.
    """

    def __init__(self, *, most_waiting: int = MOST_WAITING) -> None:
        self.lost = 0
        self.published = 0
        self._most_waiting = most_waiting
        self._on_written: Callable[[], None] | None = None
        self._waiting = deque[tuple[str, AuditEvent]]()
        self._is_new = asyncio.Event()
        self._untold: dict[str, int] = {}
        self._folds = OrderedDict[tuple[str, ...], _Fold]()
        self._apart = Counter[tuple[str, ...]]()

    def on_written(self, tell: Callable[[], None]) -> None:
        """Call `tell` after each request whose event a transaction has written, to be published by others."""
        self._on_written = tell

    def note_written(self) -> None:
        """Say that a transaction has written an event."""
        if self._on_written is not None:
            self._on_written()

    @property
    def waiting(self) -> int:
        """How many events are not acknowledged yet."""
        return len(self._waiting)

    def of_subject(self, subject: str, service: str) -> Audited | None:
        """Return what a service writes of the requests on a subject; None when it writes nothing."""
        written = SUBJECTS.get(subject)
        return Audited(written, service, self) if isinstance(written, Written) and service else None

    def hand_in(self, service: str, event: AuditEvent) -> None:
        """Take an event of a service; returns at once."""
        subject = subjects.audit_events(service)
        if event.outcome is Outcome.DONE or not self._is_folded(subject, event):
            self._add(subject, event)

    def _add(self, subject: str, event: AuditEvent) -> None:
        if len(self._waiting) >= self._most_waiting:
            if not self._untold:
                log.error("audit events are lost: the bus takes none", extra={"subject": subject})
            self.lost += 1
            self._untold[subject] = self._untold.get(subject, 0) + 1
            return
        self._waiting.append((subject, event))
        self._is_new.set()

    def _is_folded(self, subject: str, event: AuditEvent) -> bool:
        now_s = time.monotonic()
        self._unfold(now_s)
        asker, what = _asker(subject, event), _what(event)
        is_apart = asker + what in self._folds or self._apart[asker] < MOST_APART
        key = asker + (what if is_apart else _REST)
        fold = self._folds.get(key)
        if fold is not None:
            fold.event, fold.more = _either(fold.event, event), fold.more + 1
            return True
        self._folds[key] = _Fold(now_s + FOLD_S, subject, event, asker)
        self._apart[asker] += 1
        return False

    def _unfold(self, now_s: float) -> None:
        """Tell of what was counted; the oldest come first, and all last equally long."""
        while self._folds:
            key, fold = next(iter(self._folds.items()))
            if fold.until_s > now_s and len(self._folds) < MOST_FOLDED:
                return
            del self._folds[key]
            self._tell_fold(fold)

    def _tell_fold(self, fold: _Fold) -> None:
        self._apart[fold.asker] -= 1
        if not self._apart[fold.asker]:
            del self._apart[fold.asker]
        if fold.more:
            details = fold.event.details.model_copy(update={"count": fold.more})
            self._add(fold.subject, fold.event.model_copy(update={"id": uuid4().hex, "details": details}))

    async def run(self, bus: EventBus) -> None:
        """Publish until cancelled; what the bus does not take is tried again, and what is behind it waits."""
        retry_s = RETRY_S
        while True:
            try:
                await self.drain(bus)
            except Exception as error:  # noqa: BLE001 - the boundary of the loop: the bus may be back
                log.warning(
                    "audit events wait for the bus", extra={"waiting": self.waiting, "error": repr(error)}
                )
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, MAX_RETRY_S)
                continue
            retry_s = RETRY_S
            await self._wait()

    async def drain(self, bus: EventBus) -> None:
        """Publish what waits, oldest first; raises what the bus raises."""
        self._is_new.clear()
        self._unfold(time.monotonic())
        while self._waiting:
            subject, event = self._waiting[0]
            # A repeat of what was stored without our hearing of it is known by its id.
            await bus.publish_event(subject, event, message_id=event.id)
            if self._waiting and self._waiting[0][1] is event:
                self._waiting.popleft()
                self.published += 1
            self._tell_lost()

    async def finish(self, bus: EventBus) -> None:
        """Publish what waits and what was counted, before the process ends; the caller bounds the wait."""
        while self._folds:
            _, fold = self._folds.popitem(last=False)
            self._tell_fold(fold)
        await self.drain(bus)

    def _tell_lost(self) -> None:
        untold, self._untold = self._untold, {}
        for subject, count in untold.items():
            self._waiting.append((subject, of_itself(Action.EVENTS_LOST, count)))

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(FOLD_S / 4):
                await self._is_new.wait()
        except TimeoutError:
            return


def _asker(subject: str, event: AuditEvent) -> tuple[str, ...]:
    """Return who tries what kind of thing."""
    came = event.provenance
    who = (event.actor_kind.value, event.actor_id, host_of(came.address), came.credential)
    return (subject, event.action, event.outcome.value, event.object_kind, *who)


def _what(event: AuditEvent) -> tuple[str, ...]:
    details = event.details
    return (event.object_id, details.of, details.code or "", details.route)


def _either(earlier: AuditEvent, event: AuditEvent) -> AuditEvent:
    """Return the event that stands for both: it names only what they have in common."""
    if _what(earlier) == _what(event):
        return event
    details = event.details.model_copy(update={"of": "", "code": None, "route": ""})
    return event.model_copy(update={"object_id": "", "details": details})
