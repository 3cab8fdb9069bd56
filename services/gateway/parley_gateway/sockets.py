"""The open WebSockets of a gateway process, so that it can let them finish before it stops."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager

from parley_contracts.credentials import Revocation
from parley_contracts.errors import ErrorCode, ParleyError

from parley_gateway.chat_socket import ChatSocket
from parley_gateway.principal import Principal

CHECK_S = 0.05
MOST_WATCHING = 1000


class Sockets:
    """Who is connected."""

    def __init__(self) -> None:
        self._open: set[ChatSocket] = set()
        self.streams_open = 0
        self._watching: dict[Callable[[], None], Principal | None] = {}
        self._is_finishing = False

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def serving(self, socket: ChatSocket) -> Generator[None]:
        """Count a socket while the body serves it."""
        self._open.add(socket)
        try:
            yield
        finally:
            self._open.discard(socket)

    @property
    def guests(self) -> list[tuple[Principal, Callable[[], None]]]:
        """Who has something open, and what ends it because he may be here no longer."""
        watching = [(principal, end) for end, principal in self._watching.items() if principal is not None]
        return [*((socket.principal, socket.expel) for socket in self._open), *watching]

    def expel(self, revocation: Revocation) -> None:
        """Close the sockets of those whom a revocation is about, and end what they watch."""
        for principal, end in self.guests:
            if principal.is_concerned(revocation):
                end()

    @contextmanager
    def streaming(self) -> Generator[None]:
        """Count an HTTP answer that waits for a turn."""
        self.streams_open += 1
        try:
            yield
        finally:
            self.streams_open -= 1

    @contextmanager
    def watching(self, end: Callable[[], None], principal: Principal | None = None) -> Generator[None]:
        """Count a client that watches something, and call `end` when the gateway stops.

        Likewise when what the principal came in by is revoked.

        Raises:
            ParleyError: `overloaded` when there are too many, `unavailable` when it stops already.
        """
        if self._is_finishing:
            raise ParleyError(ErrorCode.UNAVAILABLE, "This gateway is stopping; connect again.")
        if len(self._watching) >= MOST_WATCHING:
            raise ParleyError(ErrorCode.OVERLOADED, "Too many watch documents and notices here now.")
        self._watching[end] = principal
        try:
            yield
        finally:
            self._watching.pop(end, None)

    async def finish(self) -> None:
        """End what is watched, wait until no client waits for the end of a turn, close all sockets."""
        self._is_finishing = True
        for end in tuple(self._watching):
            end()
        # Turns end in callbacks of the bus; a poll keeps the token path free of bookkeeping.
        while self.streams_open or any(socket.turns_open for socket in self._open):  # noqa: ASYNC110 - see above
            await asyncio.sleep(CHECK_S)
        async with asyncio.TaskGroup() as tasks:
            for socket in tuple(self._open):
                tasks.create_task(socket.close())
