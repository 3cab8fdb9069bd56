"""A proxy between one process and its nats-server: counts the messages of a turn, and cuts after one of them.

The process is told the proxy's address as that of its bus. Nothing in the process knows of it, and nothing
of the process has to be changed to be killed at an exact place.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from parley_contracts import subjects

from tests.chaos.nats_protocol import Operation, OperationReader
from tests.chaos.nats_proxy import CHUNK_BYTES, LOOPBACK, both_ways, listening

CONFIRM_S = 2.0
PULL_S = 1.0
"""A pull of a work queue is forgotten by the server after this."""

_HEALTH = subjects.ALL_HEALTH.removesuffix("*")
_PULL = "$JS.API.CONSUMER.MSG.NEXT."
_ASIDES = (_PULL, "$JS.API.CONSUMER.INFO.", "$JS.API.STREAM.", _HEALTH)
"""What a process asks at all times, whether there is a turn or not."""

_ACK = "$JS.ACK."
_HEARTBEAT = b"+WPI"
_PONG = b"PONG\r\n"


class NatsTap:
    """Passes everything on until armed with the number of a message: there the process is killed.

    The message is the last one to pass, or the first one that does not. `holds_pulls` keeps the process
    from taking jobs.
    """

    def __init__(self, server_port: int) -> None:
        self.url = ""
        self.holds_pulls = False
        self.counted: list[Operation] = []
        self.last_passed_s = 0.0
        self.last_pull_s = 0.0
        self.killed = asyncio.Event()
        self._server_port = server_port
        self._place = 0
        self._withholds = False
        self._kill: Callable[[], None] | None = None
        self._is_armed = False
        self._pull_inboxes: set[str] = set()
        self._aside_inboxes: set[str] = set()
        self._links: set[_Link] = set()

    def arm(self, place: int, kill: Callable[[], None], *, withholds: bool = False) -> None:
        """Count from here on, and kill at the message of that number; 0 never kills.

        `withholds` keeps that message from the server when it is one that the process publishes.
        """
        self.counted.clear()
        self.killed.clear()
        self._place, self._withholds, self._kill, self._is_armed = place, withholds, kill, True
        self.last_passed_s = time.monotonic()

    def disarm(self) -> None:
        """Count no more."""
        self._is_armed = False

    @property
    def has_pulls(self) -> bool:
        """Whether the server may still hand the process a job."""
        return time.monotonic() - self.last_pull_s < PULL_S

    def is_quiet(self, quiet_s: float) -> bool:
        """Whether no message of the turn has passed for that long."""
        return time.monotonic() - self.last_passed_s > quiet_s

    def allows(self, operation: Operation) -> bool:
        """Note an operation on its way; False when it is held back."""
        if not operation.subject.startswith(_ASIDES):
            return True
        is_pull = operation.subject.startswith(_PULL)
        # A puller waits on one inbox for as long as it lives, any other question on one of its own.
        (self._pull_inboxes if is_pull else self._aside_inboxes).add(operation.reply)
        if is_pull and operation.is_published:
            if self.holds_pulls:
                return False
            self.last_pull_s = time.monotonic()
        return True

    def is_last(self, operation: Operation) -> bool:
        """Count an operation; True when the process dies at it."""
        if not self._belongs_to_turn(operation) or not self._is_armed:
            return False
        self.counted.append(operation)
        self.last_passed_s = time.monotonic()
        return len(self.counted) == self._place

    def end(self) -> None:
        """Kill, and pass nothing more on."""
        if self._kill is not None:
            self._kill()
        self._is_armed = False
        for link in self._links:
            link.is_cut = True
        self.killed.set()

    def withholds(self, operation: Operation) -> bool:
        """Whether the operation at which the process dies does not pass."""
        return self._withholds and operation.is_published

    def _belongs_to_turn(self, operation: Operation) -> bool:
        if not operation.is_message or operation.subject.startswith(_ASIDES):
            return False
        if operation.subject in self._aside_inboxes:
            self._aside_inboxes.discard(operation.subject)
            return False
        # A job comes on the subject it was published to: on the inbox of a pull there is only its status.
        is_status = operation.subject in self._pull_inboxes
        is_heartbeat = operation.subject.startswith(_ACK) and operation.data == _HEARTBEAT
        return not is_status and not is_heartbeat

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection of the process until either side ends it."""
        try:
            server_reader, server_writer = await asyncio.open_connection(LOOPBACK, self._server_port)
        except OSError:
            writer.close()
            return
        link = _Link(self, writer, server_writer)
        self._links.add(link)
        try:
            await link.carry(reader, server_reader)
        finally:
            self._links.discard(link)


class _Link:
    """One connection of the process, and the one to the server that stands for it."""

    def __init__(self, tap: NatsTap, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.is_cut = False
        self._tap = tap
        self._client = client
        self._server = server

    async def carry(self, client: asyncio.StreamReader, server: asyncio.StreamReader) -> None:
        upward, downward = self._pump(client, self._server), self._pump(server, self._client)
        try:
            async with both_ways(upward, downward) as answering:
                if self.is_cut:
                    await self._confirm(server, answering)
        finally:
            for writer in (self._client, self._server):
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        operations = OperationReader()
        with contextlib.suppress(OSError):
            while not self.is_cut and (chunk := await source.read(CHUNK_BYTES)):
                for operation in operations.feed(chunk):
                    if self.is_cut:
                        return
                    if not self._tap.allows(operation):
                        continue
                    is_last = self._tap.is_last(operation)
                    if not (is_last and self._tap.withholds(operation)):
                        target.write(operation.raw)
                    if is_last:
                        self._tap.end()
                        return
                await target.drain()

    async def _confirm(self, server: asyncio.StreamReader, answering: "asyncio.Future[None]") -> None:
        """Wait until the server has taken what has passed: a connection closed at once may lose it."""
        answering.cancel()
        await asyncio.wait([answering])
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CONFIRM_S):
                self._server.write(b"PING\r\n")
                await self._server.drain()
                # What comes first may be the rest of an operation that was half read.
                heard = b"-"
                while heard and _PONG not in heard:
                    chunk = await server.read(CHUNK_BYTES)
                    heard = heard[-len(_PONG) :] + chunk if chunk else b""


@asynccontextmanager
async def open_tap(server_port: int) -> AsyncGenerator[NatsTap]:
    """Listen on a free port for one process, and stand between it and the nats-server at `server_port`."""
    tap = NatsTap(server_port)
    async with listening(tap.serve) as tap.url:
        yield tap
