"""Reads a turn's events: live as core messages, replayed by direct get, spliced without gap or repeat."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from parley_contracts import subjects
from parley_contracts.errors import ParleyError
from parley_contracts.turn_events import TERMINAL_TYPES, frame_follows, frame_seq, frame_type
from parley_contracts.turns import EPOCH_SPAN

from parley_messaging.bus import Bus, Delivery, Subscription
from parley_messaging.streams import TURN_EVENTS

log = logging.getLogger("parley.messaging")

IDLE_S = 1.0
SWEEP_S = 0.25
RETRY_S = 0.05
REPLAYS_AT_ONCE = 64
"""Logs that a process reads at once; further watches wait, in the order in which they asked."""

MAX_EMPTY_LOOKS = 16
"""How many idle looks at a log that stays empty may pass before the turn's ending is looked for again."""

BUFFER_FRAMES = 10_000
"""Live frames kept during a replay; beyond it they are dropped, for the log has them."""

Sink = Callable[[bytes, int], None]
FindEnding = Callable[[], Awaitable[bytes | None]]
"""Returns the frame that stands in place of a log which has expired; None while the turn has not ended."""


class TurnWatch:
    """One watcher of one turn: hands `sink` each frame after `after_seq` once, in order.

    A frame is next when its seq follows the last one, or when it opens a higher epoch and nothing that
    it `follows` is missing. Lower ones are dropped; anything else is a hole and is replayed. When the log
    has expired, `find_ending` tells how the turn ended, and the watch is finished with that.
    """

    def __init__(
        self, subject: str, after_seq: int, sink: Sink, find_ending: FindEnding | None = None
    ) -> None:
        self.subject = subject
        self.last_seq = after_seq
        self.is_finished = False
        self.is_closed = False
        self.is_catching_up = False
        self.heard_s = 0.0
        self.was_heard = False
        self.expects_log = False
        self._has_log = False
        self._empty_looks = 0
        self._has_read_end = False
        self._sink = sink
        self._find_ending = find_ending
        self._position = 1
        self._buffer: deque[bytes] = deque(maxlen=BUFFER_FRAMES)

    def hear(self, frame: bytes) -> bool:
        """Take a live frame; False when a hole before it has to be replayed first."""
        if self.is_catching_up:
            self._buffer.append(frame)
            return True
        if self._take(frame):
            return True
        self._buffer.append(frame)
        return False

    def _take(self, frame: bytes) -> bool:
        """Hand a frame on if it is next; False when something before it is missing."""
        try:
            seq = frame_seq(frame)
            if is_opening := not seq % EPOCH_SPAN:
                follows, is_end = frame_follows(frame), frame_type(frame) in TERMINAL_TYPES
            else:
                follows, is_end = seq - 1, False
        except ValueError as error:
            # Anybody may publish a frame: one that cannot be read must not stop the others.
            # What it holds is not for the log.
            log.warning(
                "turn event cannot be read", extra={"subject": self.subject, "error": type(error).__name__}
            )
            return True
        if seq <= self.last_seq:
            # Somebody who has seen the end already asked for what comes after it.
            self.is_finished = self.is_finished or is_end
            return True
        if follows > self.last_seq:
            return False
        self.last_seq = seq
        if is_opening:
            self.is_finished = is_end
        try:
            self._sink(frame, seq)
        except Exception:
            log.exception("turn event cannot be handed on", extra={"subject": self.subject})
        return True

    async def read_on(self, bus: Bus) -> bool:
        """Read the log to its end once and join the live frames; False when something is missing before them.

        Raises:
            ParleyError: The log cannot be read now; the watch goes on catching up.
        """
        await self._read_log(bus)
        if self._find_ending is not None and self._seems_expired():
            await self._end_without_log(bus, self._find_ending)
        return self._join()

    def joins_live(self) -> bool:
        """Go on live without reading the log, if what was heard since follows what was handed on."""
        before = self.last_seq
        # Frames that are old already tell nothing of those between.
        return self._splice() and self.last_seq > before and self._join()

    def _join(self) -> bool:
        if not self._is_over and not self._splice():
            return False
        self._buffer.clear()
        self.is_catching_up = False
        return True

    @property
    def _is_over(self) -> bool:
        return self.is_finished or self.is_closed

    async def _read_log(self, bus: Bus) -> None:
        while not self._is_over:
            stored = await bus.next_stored(TURN_EVENTS, self.subject, self._position)
            if stored is None:
                return
            self._has_log = True
            self._position = stored.stream_seq + 1
            if not self._take(stored.data):
                # What it comes after may stand behind it: a writer has gone back to repeat that.
                self._buffer.append(stored.data)
                # Behind the end of the turn only a repeat may still come, and soon.
                self._has_read_end = self._has_read_end or _is_end(stored.data)

    @property
    def retry_s(self) -> float:
        """When to read on after something was missing: soon while a writer may fill the hole."""
        return IDLE_S if self._has_read_end else RETRY_S

    def _seems_expired(self) -> bool:
        """Whether the log, read as far as it goes, holds nothing, or its end and a hole before that."""
        if self._is_over:
            return False
        if self._has_read_end:
            return not self._splice()
        return self._may_miss_log and not self._has_log and not self._buffer

    @property
    def _may_miss_log(self) -> bool:
        return self.expects_log or self.last_seq > 0

    async def _end_without_log(self, bus: Bus, find_ending: FindEnding) -> None:
        frame = await find_ending()
        if frame is None or self._is_over:
            return
        if not self._has_log and await bus.last_stored(TURN_EVENTS, self.subject) is not None:
            # Written since the look at it: the turn has run, and ended, meanwhile.
            return
        self.finish(frame)

    def finish(self, frame: bytes) -> None:
        """Hand on the frame that stands in place of a log, unless the client has got as far already."""
        seq = frame_seq(frame)
        self.is_finished = True
        if seq > self.last_seq:
            self.last_seq = seq
            self._sink(frame, seq)

    def _splice(self) -> bool:
        """Hand on what was heard or read ahead of its turn; False while something before it is missing."""
        left = [frame for frame in sorted(self._buffer, key=_place) if not self._take(frame)]
        self._buffer = deque((frame for frame in left if _place(frame) > self.last_seq), maxlen=BUFFER_FRAMES)
        return not self._buffer

    async def is_behind(self, bus: Bus) -> bool:
        """Return whether the log holds something newer than this watch has handed on."""
        stored = await bus.last_stored(TURN_EVENTS, self.subject)
        self._has_log = stored is not None
        if stored is None:
            # Nothing is written yet, or it has expired; the longer that lasts, the rarer it is looked into.
            self._empty_looks += 1
            is_due = self._empty_looks % MAX_EMPTY_LOOKS == 0 or self._empty_looks.bit_count() == 1
            return self._find_ending is not None and self._may_miss_log and is_due
        try:
            # The newest may be a repeat behind an end that was missed: what was not read yet is read.
            return frame_seq(stored.data) > self.last_seq or stored.stream_seq >= self._position
        except ValueError:
            return False


def _place(frame: bytes) -> int:
    try:
        return frame_seq(frame)
    except ValueError:
        return 0


def _is_end(frame: bytes) -> bool:
    try:
        return frame_type(frame) in TERMINAL_TYPES
    except ValueError:
        return False


class TurnWatches:
    """All watches of a process: one wildcard subscription for the turns it started, one for each other.

    A watch with a hole asks for a replay once, and not again before that is done: so what waits is never
    more than the open watches, which sockets and slots bound.
    """

    def __init__(self, bus: Bus, home: str) -> None:
        self.home = home
        self.gaps = 0
        self._bus = bus
        self._by_subject: dict[str, list[TurnWatch]] = {}
        self._foreign: dict[str, Subscription] = {}
        self._wanted: asyncio.Queue[TurnWatch] = asyncio.Queue()
        self._reading = asyncio.Semaphore(REPLAYS_AT_ONCE)

    async def start(self) -> None:
        """Begin to hear the turns that this process starts."""
        await self._bus.subscribe(
            subjects.turn_events_of(self.home), self._on_frame, on_drop=self._on_home_drop
        )

    def open_new(self, turn_id: str, sink: Sink, find_ending: FindEnding | None = None) -> TurnWatch:
        """Watch a turn of this home from its first event on; nothing of it is published yet."""
        return self._register(TurnWatch(subjects.turn_events(self.home, turn_id), 0, sink, find_ending))

    async def open(
        self, home: str, turn_id: str, after_seq: int, sink: Sink, find_ending: FindEnding | None = None
    ) -> TurnWatch:
        """Watch a turn of any home: replay what comes after `after_seq`, then go on live."""
        watch = self._register(TurnWatch(subjects.turn_events(home, turn_id), after_seq, sink, find_ending))
        watch.expects_log = True
        try:
            if home != self.home:
                await self._hear_foreign(watch.subject)
        except BaseException:
            await self.close(watch)
            raise
        self._catch_up(watch)
        return watch

    def finished(self, turn_id: str, after_seq: int, sink: Sink, frame: bytes) -> TurnWatch:
        """Return a watch of which `frame` is all that is left; nothing is registered."""
        watch = TurnWatch(subjects.turn_events(self.home, turn_id), after_seq, sink)
        watch.finish(frame)
        return watch

    async def _hear_foreign(self, subject: str) -> None:
        if subject in self._foreign:
            return
        found = await self._bus.subscribe(subject, self._on_frame, on_drop=lambda: self._on_drop(subject))
        if subject in self._foreign or subject not in self._by_subject:
            # While this one subscribed, another watch did as well, or the last one left.
            await found.unsubscribe()
        else:
            self._foreign[subject] = found

    async def close(self, watch: TurnWatch) -> None:
        """Stop watching."""
        watch.is_closed = True
        others = self._by_subject.get(watch.subject, [])
        if watch in others:
            others.remove(watch)
        if not others:
            self._by_subject.pop(watch.subject, None)
            if subscription := self._foreign.pop(watch.subject, None):
                await subscription.unsubscribe()

    @property
    def open_watches(self) -> int:
        """How many watches there are."""
        return sum(map(len, self._by_subject.values()))

    def _register(self, watch: TurnWatch) -> TurnWatch:
        watch.heard_s = asyncio.get_running_loop().time()
        self._by_subject.setdefault(watch.subject, []).append(watch)
        return watch

    async def _on_frame(self, delivery: Delivery) -> None:
        watches = self._by_subject.get(delivery.subject)
        if watches is None:
            return
        for watch in watches:
            watch.was_heard = True
            if not watch.hear(delivery.data):
                self.gaps += 1
                self._catch_up(watch)

    def _on_home_drop(self) -> None:
        for subject in tuple(self._by_subject):
            if subject not in self._foreign:
                self._on_drop(subject)

    def _on_drop(self, subject: str) -> None:
        for watch in self._by_subject.get(subject, []):
            if not watch.is_catching_up:
                self.gaps += 1
                self._catch_up(watch)

    def _catch_up(self, watch: TurnWatch) -> None:
        if not watch.is_catching_up and not watch.is_finished:
            watch.is_catching_up = True
            self._wanted.put_nowait(watch)

    async def run(self) -> None:
        """Replay for watches with a hole and check on idle ones, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._check_idle())
            while True:
                watch = await self._wanted.get()
                tasks.create_task(self._replay(watch))

    async def _replay(self, watch: TurnWatch) -> None:
        while watch in self._by_subject.get(watch.subject, []):
            pause_s = SWEEP_S
            try:
                # Held for one reading of one log: who waits for a writer to fill a hole is in nobody's way.
                async with self._reading:
                    if watch.joins_live() or await watch.read_on(self._bus):
                        return
                pause_s = watch.retry_s
            except ParleyError:
                log.info("turn log cannot be read; trying again", extra={"subject": watch.subject})
            except Exception:
                # One turn's trouble must not end the watches of all others.
                log.exception("replay failed; trying again", extra={"subject": watch.subject})
            await asyncio.sleep(pause_s)

    async def _check_idle(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_S)
            for watch in [one for watches in self._by_subject.values() for one in watches]:
                if watch.was_heard:
                    watch.was_heard, watch.heard_s = False, loop.time()
                if watch.is_catching_up or watch.is_finished or loop.time() - watch.heard_s < IDLE_S:
                    continue
                watch.heard_s = loop.time()
                try:
                    if await watch.is_behind(self._bus):
                        self._catch_up(watch)
                except ParleyError:
                    log.debug("turn log cannot be read", extra={"subject": watch.subject})
