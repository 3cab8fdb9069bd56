"""Whether a turn may begin now. A refusal asks nothing of the bus: it comes at once, and costs little."""

import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from parley_contracts.errors import ErrorCode, ParleyError
from parley_messaging.turn_watch import TurnWatch

from parley_gateway.queue_lag import QueueLag

FULL_S = 1.0
"""How long the bus is taken for full after it has said so, unless a later reading says otherwise."""

SWEEP_S = 0.02
CROWD_S = 5.0
CROWD = 10_000
"""Most refusals that are remembered; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Where the door closes. Full rule of each: a new turn is refused with `overloaded`.

    Attributes:
        watched: Turns in flight whose readers are at this process.
        total: Turns in flight of all gateways; the queue of turns itself refuses more.
        waiting: Turns that wait for a runner or for a worker of the pool that is asked for.
    """

    watched: int
    total: int
    waiting: int


class Admission:
    """Counts the turns watched at this process, and knows of all others by their queues."""

    def __init__(self, capacity: Capacity, lag: QueueLag) -> None:
        self.refused: dict[str, int] = {"watched": 0, "total": 0, "waiting": 0}
        self._capacity = capacity
        self._lag = lag
        self._watched: set[TurnWatch] = set()
        self._entering = 0
        self._swept_s = float("-inf")
        self._full_s = float("-inf")
        self._refused_s: deque[float] = deque(maxlen=CROWD)

    @property
    def turns_watched(self) -> int:
        """Turns in flight whose readers are at this process, and those that come in just now."""
        now_s = time.monotonic()
        if now_s - self._swept_s >= SWEEP_S:
            # The bus ends a watch in the midst of a relay: it is looked for here instead of told there.
            self._swept_s = now_s
            self._watched = {watch for watch in self._watched if not watch.is_finished}
        return len(self._watched) + self._entering

    def check(self, pool: str | None) -> None:
        """Let a new turn for the worker pool `pool` pass.

        Raises:
            ParleyError: `overloaded`, with an estimate of when to ask again.
        """
        if len(self._watched) + self._entering >= self._capacity.watched <= self.turns_watched:
            raise self._refusal("watched", "This gateway has as many turns in flight as it may.", pool)
        if self._is_known_full or self._lag.turns_in_flight >= self._capacity.total:
            raise self._refusal("total", "As many turns are in flight as may be.", pool)
        if self._lag.waiting(pool) >= self._capacity.waiting:
            raise self._refusal("waiting", "Too many turns wait already.", pool)

    def has_room(self, pool: str | None) -> bool:
        """Return whether fewer turns wait for a worker of a pool than may."""
        return self._lag.waiting(pool) < self._capacity.waiting

    @property
    def _is_known_full(self) -> bool:
        return self._lag.read_s < self._full_s and time.monotonic() - self._full_s < FULL_S

    def full(self, pool: str | None) -> ParleyError:
        """Return the refusal of a turn for which the queue of all turns has just had no room."""
        self._full_s = time.monotonic()
        return self._refusal("total", "As many turns are in flight as may be.", pool)

    def _refusal(self, limit: str, message: str, pool: str | None) -> ParleyError:
        self.refused[limit] += 1
        now_s = time.monotonic()
        self._refused_s.append(now_s)
        while now_s - self._refused_s[0] > CROWD_S:
            self._refused_s.popleft()
        # Those refused lately come back as well, and want the same places.
        ahead = self._lag.waiting(pool) + len(self._refused_s)
        return ParleyError(ErrorCode.OVERLOADED, message, retry_after_s=self._lag.retry_after_s(ahead))

    @contextmanager
    def entering(self) -> Generator[None]:
        """Count a turn while it is accepted; `watch` counts it from then on."""
        self._entering += 1
        self._lag.wake()
        try:
            yield
        finally:
            self._entering -= 1

    def watch(self, watch: TurnWatch) -> None:
        """Count a turn until its watch is finished or forgotten."""
        self._watched.add(watch)

    def forget(self, watch: TurnWatch) -> None:
        """Count a turn no longer."""
        self._watched.discard(watch)
