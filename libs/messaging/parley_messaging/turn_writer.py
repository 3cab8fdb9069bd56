"""Writes a turn's events: publish acknowledged, await nothing, go back N.

Bare publishes leave permanent holes when a server dies, and no writer is told. Here each event goes out
with a reply inbox and is kept until acknowledged; when the oldest is over a second old, everything from
it on is published again in order, so that the log becomes whole and readers may take only the next seq.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from nats.errors import Error as NatsError
from parley_contracts.turns import EPOCH_SPAN

from parley_messaging.bus import Bus, Delivery, NotStoredError

log = logging.getLogger("parley.messaging")

WINDOW_EVENTS = 512
"""Events published and not acknowledged yet; a full window stops the writer from reading upstream."""

STALE_S = 1.0
MAX_STALE_S = 8.0
SWEEP_S = 0.25
Encode = Callable[[int], bytes]
_STORED = b'{"stream"'


@dataclass(slots=True)
class _Unacknowledged:
    seq: int
    frame: bytes
    sent_s: float
    is_acknowledged: bool = False


class TurnWriter:
    """Appends to one turn's log in one epoch. Made by `TurnWriters.open`."""

    def __init__(self, bus: Bus, subject: str, inbox: str, epoch: int) -> None:
        self.subject = subject
        self.seq = epoch * EPOCH_SPAN
        self._bus = bus
        self._inbox = inbox
        self._attempt = 1
        self._window: deque[_Unacknowledged] = deque()
        self._stale_s = STALE_S
        self._appending = asyncio.Lock()
        self._publishing = asyncio.Lock()
        self._has_room = asyncio.Event()
        self._is_settled = asyncio.Event()
        self._is_settled.set()

    @property
    def unacknowledged(self) -> int:
        """How many events are published and not acknowledged yet."""
        return len(self._window)

    async def append(self, encode: Encode) -> None:
        """Publish the frame that `encode` makes of its seq; waits only while the window is full."""
        # Whoever called first is first in the log, also when several wait for room.
        async with self._appending:
            while len(self._window) >= WINDOW_EVENTS:
                self._has_room.clear()
                await self._has_room.wait()
            async with self._publishing:
                sent = _Unacknowledged(self.seq, encode(self.seq), asyncio.get_running_loop().time())
                self.seq += 1
                self._window.append(sent)
                self._is_settled.clear()
                await self._publish(sent)

    async def append_settled(self, encode: Encode, *, timeout_s: float) -> None:
        """Append, then wait until this and everything before it is stored.

        Raises:
            NotStoredError: It was not, in `timeout_s`.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self.append(encode)
                await self._is_settled.wait()
        except TimeoutError:
            raise self._not_stored() from None

    async def settle(self, timeout_s: float) -> None:
        """Wait until everything appended is stored; NotStoredError when it is not in `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_settled.wait()
        except TimeoutError:
            raise self._not_stored() from None

    def _not_stored(self) -> NotStoredError:
        return NotStoredError(f"{len(self._window)} events of a turn are not acknowledged")

    async def _publish(self, sent: _Unacknowledged) -> None:
        try:
            await self._bus.publish(
                self.subject, sent.frame, reply=f"{self._inbox}.{self._attempt}.{sent.seq}"
            )
        except NatsError:
            # Disconnected with a full outbound buffer: the sweep publishes it again.
            log.debug("event was not sent", extra={"seq": sent.seq})

    def acknowledge(self, attempt: int, seq: int) -> None:
        """Note that one event is stored; only an acknowledged head leaves the window.

        Acknowledgements of earlier attempts do not count: what stands in the log before its predecessor
        is of no use to a reader.
        """
        window = self._window
        if attempt != self._attempt or not window or seq < window[0].seq:
            return
        index = seq - window[0].seq
        if index < len(window):
            window[index].is_acknowledged = True
        while window and window[0].is_acknowledged:
            window.popleft()
            self._stale_s = STALE_S
        if len(window) < WINDOW_EVENTS:
            self._has_room.set()
        if not window:
            self._is_settled.set()

    async def go_back(self, now_s: float) -> None:
        """Publish the whole window again, in order, when its oldest event is stale.

        Each repeat in a row is given twice the time of the one before: to a server that acknowledges
        slowly, repeats at a fixed pace would be more load and no acknowledgement would ever count.
        """
        async with self._publishing:
            if not self._window or now_s - self._window[0].sent_s < self._stale_s:
                return
            self._attempt += 1
            self._stale_s = min(MAX_STALE_S, self._stale_s * 2)
            for sent in self._window:
                sent.sent_s, sent.is_acknowledged = now_s, False
            for sent in tuple(self._window):
                await self._publish(sent)


class TurnWriters:
    """All writers of a process: one inbox for their acknowledgements, one sweep for what went stale."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._inbox = ""
        self._writers: dict[str, TurnWriter] = {}
        self._opened = 0

    async def start(self) -> None:
        """Begin to hear acknowledgements."""
        self._inbox = self._bus.new_inbox()
        await self._bus.subscribe(f"{self._inbox}.*.*.*", self._on_acknowledgement)

    @asynccontextmanager
    async def open(self, subject: str, epoch: int) -> AsyncGenerator[TurnWriter]:
        """Write to `subject` in an epoch whose pen slot the caller has won."""
        self._opened += 1
        key = str(self._opened)
        writer = TurnWriter(self._bus, subject, f"{self._inbox}.{key}", epoch)
        self._writers[key] = writer
        try:
            yield writer
        finally:
            del self._writers[key]

    @property
    def open_writers(self) -> int:
        """How many turns are being written now."""
        return len(self._writers)

    @property
    def unacknowledged(self) -> int:
        """How many events are published and not acknowledged yet."""
        return sum(writer.unacknowledged for writer in self._writers.values())

    async def _on_acknowledgement(self, delivery: Delivery) -> None:
        if not delivery.data.startswith(_STORED):
            return
        key, attempt, seq = delivery.subject.rsplit(".", 3)[1:]
        if writer := self._writers.get(key):
            writer.acknowledge(int(attempt), int(seq))

    async def run(self) -> None:
        """Publish again what was not acknowledged in time, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_S)
            for writer in tuple(self._writers.values()):
                await writer.go_back(loop.time())
