"""Somebody with the credentials of a service who does what that service never does."""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from parley_messaging.nats_reading import read_anything


class Rogue:
    """A bare connection that counts what it tries, and notes what nats-server lets through."""

    def __init__(self) -> None:
        self.tries = 0
        self.allowed: list[str] = []
        self.heard: list[Msg] = []
        self._errors: list[str] = []
        self._connection: Client | None = None

    @property
    def connection(self) -> Client:
        assert self._connection is not None
        return self._connection

    @property
    def refused(self) -> int:
        """How many of the tries were refused."""
        return self.tries - len(self.allowed)

    async def open(self, url: str, nkey: Path, inbox_prefix: str) -> None:
        """Connect as the user whose seed is in `nkey`, and listen to all that is sent to that user."""
        self._connection = await nats.connect(
            url, nkeys_seed=str(nkey), inbox_prefix=inbox_prefix, error_cb=self._note, allow_reconnect=False
        )
        read_anything(self._connection)
        await self._connection.subscribe(f"{inbox_prefix}.>", cb=self._hear)

    async def _note(self, error: Exception) -> None:
        self._errors.append(str(error).lower())

    async def _hear(self, message: Msg) -> None:
        self.heard.append(message)

    async def _judge(self, action: str, subject: str) -> bool:
        # The server answers a PING after what was sent before it, its errors included. nats-py's first one
        # overtakes what it has not sent yet.
        for _ in range(2):
            await self.connection.flush(timeout=5)
        is_refused = any(f'{action} to "{subject.lower()}"' in error for error in self._errors)
        self._errors.clear()
        self.tries += 1
        if not is_refused:
            self.allowed.append(f"{action} {subject}")
        return is_refused

    async def may_not_hear(self, subject: str, group: str = "") -> bool:
        """Subscribe; return whether that was refused."""
        await self.connection.subscribe(subject, queue=group, cb=self._hear)
        return await self._judge("subscription", subject)

    async def may_not_send(self, subject: str, data: bytes = b"{}", reply: str = "") -> bool:
        """Publish, with the answer wanted in the own inbox or elsewhere; return whether that was refused."""
        await self.connection.publish(subject, data, reply=reply or self.connection.new_inbox())
        return await self._judge("publish", subject)

    async def listening_inbox(self) -> str:
        """Return a subject of its own to which it listens by name, as JetStream wants of who consumes."""
        inbox = self.connection.new_inbox()
        await self.connection.subscribe(inbox, cb=self._hear)
        return inbox

    async def hear_all(self, subjects: Iterable[str], group: str = "") -> None:
        """Try to subscribe to each."""
        for subject in subjects:
            await self.may_not_hear(subject, group)

    async def send_all(self, messages: Iterable[tuple[str, bytes]], reply: str = "") -> None:
        """Try to publish each."""
        for subject, data in messages:
            await self.may_not_send(subject, data, reply)


@asynccontextmanager
async def open_rogue(url: str, nkey: Path, inbox_prefix: str) -> AsyncGenerator[Rogue]:
    """Connect while the body runs."""
    rogue = Rogue()
    await rogue.open(url, nkey, inbox_prefix)
    try:
        yield rogue
    finally:
        await rogue.connection.close()
