"""Says on a stack's bus, with the credentials of a service, what no client library would."""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from tests.integration.bus_cases import Case


class Speaker:
    """One user of the bus; answers come to whoever asked."""

    def __init__(self, inbox_prefix: str) -> None:
        self.refusals: list[str] = []
        # Not the whole of the prefix: there are the jobs of the service itself, as they were said.
        self._inbox = f"{inbox_prefix}.speaker"
        self._inbox_prefix = inbox_prefix
        self._asked = 0
        self._awaited: dict[str, asyncio.Future[Msg]] = {}
        self._connection: Client | None = None

    @property
    def connection(self) -> Client:
        assert self._connection is not None
        return self._connection

    async def open(self, url: str, nkey: Path) -> None:
        self._connection = await nats.connect(
            url, nkeys_seed=str(nkey), inbox_prefix=self._inbox_prefix, error_cb=self._note
        )
        await self._connection.subscribe(f"{self._inbox}.*", cb=self._hear)

    async def _note(self, error: Exception) -> None:
        self.refusals.append(str(error))

    async def _hear(self, message: Msg) -> None:
        awaited = self._awaited.pop(message.subject, None)
        if awaited is not None and not awaited.done():
            awaited.set_result(message)

    async def say(self, case: Case) -> None:
        """Publish, and return when the server has taken it."""
        await self._publish(case, b"")
        await self.connection.flush(timeout=10)

    async def ask(self, case: Case, within_s: float) -> Msg:
        """Publish and return what is answered; TimeoutError when nothing is."""
        self._asked += 1
        inbox = f"{self._inbox}.{self._asked}"
        awaited = self._awaited[inbox] = asyncio.get_running_loop().create_future()
        try:
            await self._publish(case, inbox.encode() + b" ")
            async with asyncio.timeout(within_s):
                return await awaited
        finally:
            self._awaited.pop(inbox, None)

    async def _publish(self, case: Case, reply: bytes) -> None:
        subject, block = case.subject.encode(), case.headers
        sizes = b"%d %d" % (len(block), len(block) + len(case.body)) if block else b"%d" % len(case.body)
        verb = b"HPUB" if block else b"PUB"
        line = b"%b %b %b%b\r\n%b%b\r\n" % (verb, subject, reply, sizes, block, case.body)
        await self.connection._send_command(line)  # pyright: ignore - headers as they stand, doubled ones too
        await self.connection._flush_pending()  # pyright: ignore - see above


@asynccontextmanager
async def speaking(url: str, nkey: Path, inbox_prefix: str) -> AsyncGenerator[Speaker]:
    """Connect while the body runs."""
    speaker = Speaker(inbox_prefix)
    await speaker.open(url, nkey)
    try:
        yield speaker
    finally:
        with suppress(NatsError):
            await speaker.connection.close()
