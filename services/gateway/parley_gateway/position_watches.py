"""Hears where waiting turns stand, for those who watch them at this process."""

from collections.abc import Callable
from dataclasses import dataclass

from parley_contracts import subjects
from parley_contracts.client_frames import QueuePosition
from parley_messaging import Bus
from parley_messaging.bus import Delivery, Subscription
from parley_messaging.turn_watch import TurnWatch

PositionSink = Callable[[bytes], None]


@dataclass(slots=True)
class _Hearing:
    watch: TurnWatch
    sink: PositionSink
    told: tuple[int, int] = (0, 0)


class PositionWatches:
    """One wildcard subscription for the turns of this home, one for each other turn; a frame may be lost."""

    def __init__(self, bus: Bus, home: str) -> None:
        self._bus = bus
        self._home = home
        self._by_subject: dict[str, dict[TurnWatch, _Hearing]] = {}
        self._subjects: dict[TurnWatch, str] = {}
        self._foreign: dict[str, Subscription] = {}

    async def start(self) -> None:
        """Begin to hear of the turns that this process starts."""
        await self._bus.subscribe(subjects.turn_queues_of(self._home), self._on_position)

    async def hear(self, home: str, turn_id: str, watch: TurnWatch, sink: PositionSink) -> None:
        """Hand `sink` each position of a turn until `watch` is forgotten or has seen later events."""
        subject = subjects.turn_queue(home, turn_id)
        self._by_subject.setdefault(subject, {})[watch] = _Hearing(watch, sink)
        self._subjects[watch] = subject
        if home == self._home or subject in self._foreign:
            return
        found = await self._bus.subscribe(subject, self._on_position)
        if subject in self._foreign or subject not in self._by_subject:
            # While this one subscribed, another watcher did as well, or the last one left.
            await found.unsubscribe()
        else:
            self._foreign[subject] = found

    async def forget(self, watch: TurnWatch) -> None:
        """Hear no more for a watch; one that heard nothing is fine."""
        subject = self._subjects.pop(watch, None)
        if subject is None:
            return
        hearing = self._by_subject.get(subject, {})
        hearing.pop(watch, None)
        if not hearing:
            self._by_subject.pop(subject, None)
            if subscription := self._foreign.pop(subject, None):
                await subscription.unsubscribe()

    async def _on_position(self, delivery: Delivery) -> None:
        hearing = self._by_subject.get(delivery.subject)
        if not hearing:
            return
        found = QueuePosition.model_validate_json(delivery.data)
        place = (found.after_seq, found.position)
        for one in tuple(hearing.values()):
            # A later event has come in the meantime: the turn waits no longer.
            if one.watch.last_seq <= found.after_seq and one.told != place:
                one.told = place
                one.sink(delivery.data)
