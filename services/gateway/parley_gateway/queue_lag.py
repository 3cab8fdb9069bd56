"""How far the queues that turns wait in lag behind: read in the background, so that nobody waits for it."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from parley_contracts.errors import ParleyError
from parley_messaging import Bus
from parley_messaging.bus import QueueState
from parley_messaging.queues import TURNS, WorkQueue, llm_jobs

log = logging.getLogger("parley.gateway")

POLL_S = 0.3
FRESH_S = 2.0
"""What was read longer ago says nothing: turns are then admitted, and the queue's own limit holds."""

RATE_S = 10.0
BOUND_S = 30.0
"""How often the limit of the queue is looked at: a bus that lost its data has made it anew, without one."""

UNKNOWN_RETRY_S = 5
MAX_RETRY_S = 60

OnStates = Callable[[dict[WorkQueue, QueueState]], Awaitable[None]]


class QueueLag:
    """Reads the queues while any turn is in flight, and nothing while none is.

    Attributes:
        read_s: When the last reading was asked for, on the clock of `time.monotonic`.
    """

    def __init__(self, bus: Bus, queues: Callable[[], Iterable[WorkQueue]], *, max_turns: int) -> None:
        self._bus = bus
        self._queues = queues
        self._max_turns = max_turns
        self._wanted = asyncio.Event()
        self._states: dict[WorkQueue, QueueState] = {}
        self.read_s = float("-inf")
        self._bound_s = float("-inf")
        self._ended: deque[tuple[float, int]] = deque()
        self._listeners: list[OnStates] = []

    def on_states(self, listener: OnStates) -> None:
        """Call `listener` after each reading."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Bound the queue of turns before the first is taken."""
        await self._bound()

    def wake(self) -> None:
        """Begin to read: a turn is in flight."""
        self._wanted.set()

    @property
    def states(self) -> dict[WorkQueue, QueueState]:
        """Each queue as it was last read; empty when that is too long ago."""
        return self._states if time.monotonic() - self.read_s < FRESH_S else {}

    @property
    def turns_in_flight(self) -> int:
        """How many turns are in flight on all gateways; 0 while that is not known."""
        turns = self.states.get(TURNS)
        return turns.waiting + turns.running if turns else 0

    def waiting(self, pool: str | None) -> int:
        """Return how many turns wait for a runner and, if `pool` is known, for a worker of it."""
        queues = (TURNS,) if pool is None else (TURNS, llm_jobs(pool))
        states = self.states
        return sum(states[queue].waiting for queue in queues if queue in states)

    def retry_after_s(self, ahead: int) -> int:
        """Estimate when `ahead` turns will have ended, at the rate of the last seconds; 1 to 60."""
        rate = self._ended_per_s()
        if not rate:
            return UNKNOWN_RETRY_S
        return min(MAX_RETRY_S, max(1, math.ceil(ahead / rate)))

    def _ended_per_s(self) -> float:
        if len(self._ended) < 2:
            return 0.0
        (began_s, before), (now_s, now) = self._ended[0], self._ended[-1]
        return max(0, now - before) / (now_s - began_s)

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                is_idle = await self._read()
            except ParleyError:
                log.debug("queues cannot be read")
                is_idle = False
            except Exception:
                # What reads the queues must outlive whatever is wrong with one reading.
                log.exception("queues were not read")
                is_idle = False
            if not is_idle:
                self._wanted.set()
            await asyncio.sleep(POLL_S)

    async def _read(self) -> bool:
        """Read all queues; return whether nothing is in flight."""
        queues = [TURNS, *({*self._queues()} - {TURNS})]
        asked_s = time.monotonic()
        found = await asyncio.gather(*(self._bus.queue_state(queue) for queue in queues))
        self._states, self.read_s = dict(zip(queues, found, strict=True)), asked_s
        self._note_ended(found[0])
        for listener in self._listeners:
            await listener(self._states)
        if time.monotonic() - self._bound_s >= BOUND_S:
            await self._bound()
        return not any(state.waiting or state.running for state in found)

    def _note_ended(self, turns: QueueState) -> None:
        now_s, ended = time.monotonic(), turns.last_delivered - turns.running
        if self._ended and ended < self._ended[-1][1]:
            self._ended.clear()
        self._ended.append((now_s, ended))
        while now_s - self._ended[0][0] > RATE_S:
            self._ended.popleft()

    async def _bound(self) -> None:
        try:
            if await self._bus.bound_queue(TURNS, self._max_turns):
                self._bound_s = time.monotonic()
            else:
                log.info("the limit of turns is lowered later: too many are in flight")
        except ParleyError:
            log.warning("the limit of turns cannot be set now")
