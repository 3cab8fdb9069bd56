"""Somebody with the credentials of a service who does what that service never does."""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError


class Rogue:
    """A bare connection that notes what it tries, what nats-server refuses, and what it lets through."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.heard: list[Msg] = []
        self._errors: list[str] = []
        self._connection: Client | None = None

    @property
    def connection(self) -> Client:
        assert self._connection is not None
        return self._connection

    async def open(self, url: str, nkey: Path, inbox_prefix: str) -> None:
        """Connect as the user whose seed is in `nkey`."""
        self._connection = await nats.connect(
            url, nkeys_seed=str(nkey), inbox_prefix=inbox_prefix, error_cb=self._note, allow_reconnect=False
        )

    async def _note(self, error: Exception) -> None:
        self._errors.append(str(error).lower())

    async def _hear(self, message: Msg) -> None:
        self.heard.append(message)

    async def _is_refused(self, action: str, subject: str) -> bool:
        # The server answers a PING after what was sent before it, its errors included.
        await self.connection.flush(timeout=5)
        is_refused = any(f'{action} to "{subject.lower()}"' in error for error in self._errors)
        self.tried.append(f"  {'refused' if is_refused else 'ALLOWED'}  {action:12}  {subject}")
        return is_refused

    async def may_not_hear(self, subject: str, group: str = "") -> bool:
        """Subscribe; return whether that was refused."""
        await self.connection.subscribe(subject, queue=group, cb=self._hear)
        return await self._is_refused("subscription", subject)

    async def may_not_send(self, subject: str, data: bytes = b"{}", reply: str = "") -> bool:
        """Publish; return whether that was refused."""
        await self.connection.publish(subject, data, reply=reply or self.connection.new_inbox())
        return await self._is_refused("publish", subject)

    async def gets_no_answer(self, subject: str, data: bytes = b"{}", within_s: float = 0.1) -> bool:
        """Ask; return whether nothing came back."""
        try:
            await self.connection.request(subject, data, timeout=within_s)
        except (TimeoutError, NatsError):
            return True
        return False


@asynccontextmanager
async def open_rogue(url: str, nkey: Path, inbox_prefix: str) -> AsyncGenerator[Rogue]:
    """Connect while the body runs."""
    rogue = Rogue()
    await rogue.open(url, nkey, inbox_prefix)
    try:
        yield rogue
    finally:
        await rogue.connection.close()
