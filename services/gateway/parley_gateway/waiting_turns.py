"""Tells the watchers of waiting turns how many stand before them. It passes by the log and costs no delta."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from parley_contracts import subjects
from parley_contracts.client_frames import QueuePosition
from parley_contracts.turns import TurnRef
from parley_messaging import Bus
from parley_messaging.bus import QueueState
from parley_messaging.queues import WorkQueue

FIRST_S = 0.3
"""A turn that is taken sooner is told nothing."""

CHANGE_S = 1.0
REPEAT_S = 5.0
"""A position that stands is told again: somebody may have begun to watch since."""

MAX_TURNS = 20_000
"""Rule when full: a further turn waits without being told its position."""


@dataclass(slots=True)
class _Waiting:
    ref: TurnRef
    waits_for: Literal["runner", "model"]
    after_seq: int
    since_s: float
    position: int = 0
    told_s: float = float("-inf")

    def is_due(self, position: int, now_s: float) -> bool:
        pause_s = CHANGE_S if position != self.position else REPEAT_S
        return now_s - self.since_s >= FIRST_S and now_s - self.told_s >= pause_s


class WaitingTurns:
    """Jobs that this process has put into a queue and that nobody has taken yet."""

    def __init__(self, bus: Bus, wake: Callable[[], None]) -> None:
        self._bus = bus
        self._wake = wake
        self._by_queue: dict[WorkQueue, dict[int, _Waiting]] = {}
        self._count = 0

    def add(
        self,
        queue: WorkQueue,
        stream_seq: int,
        ref: TurnRef,
        *,
        waits_for: Literal["runner", "model"],
        after_seq: int,
    ) -> None:
        """Follow a job that was stored as `stream_seq`; the turn's last event so far is `after_seq`."""
        if self._count < MAX_TURNS:
            self._count += 1
            waiting = _Waiting(ref, waits_for, after_seq, time.monotonic())
            self._by_queue.setdefault(queue, {})[stream_seq] = waiting
            self._wake()

    def forget(self, queue: WorkQueue, stream_seq: int) -> None:
        """Follow a job no more: its turn has ended before anybody took it."""
        if self._by_queue.get(queue, {}).pop(stream_seq, None) is not None:
            self._count -= 1

    @property
    def queues(self) -> frozenset[WorkQueue]:
        """The queues in which a job is followed."""
        return frozenset(queue for queue, standing in self._by_queue.items() if standing)

    async def tell(self, states: Mapping[WorkQueue, QueueState]) -> None:
        """Publish what has changed, and forget the jobs that were taken."""
        for queue, state in states.items():
            if standing := self._by_queue.get(queue):
                await self._tell(standing, state)

    async def _tell(self, standing: dict[int, _Waiting], state: QueueState) -> None:
        now_s = time.monotonic()
        for stream_seq, waiting in tuple(standing.items()):
            if standing.get(stream_seq) is not waiting:
                continue  # forgotten while another was told
            if stream_seq <= state.last_delivered:
                del standing[stream_seq]
                self._count -= 1
                continue
            # Jobs of other pools stand between: no more are before it than wait in its own.
            position = max(1, min(stream_seq - state.last_delivered, state.waiting))
            if waiting.is_due(position, now_s):
                waiting.position, waiting.told_s = position, now_s
                await self._publish(waiting)

    async def _publish(self, waiting: _Waiting) -> None:
        ref = waiting.ref
        frame = QueuePosition(
            turn_id=ref.client_turn_id,
            position=waiting.position,
            waits_for=waiting.waits_for,
            after_seq=waiting.after_seq,
        )
        await self._bus.publish(subjects.turn_queue(ref.home, ref.turn_id), frame.model_dump_json().encode())
