"""The open WebSockets of a gateway process, so that it can let them finish before it stops."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager

from parley_contracts.credentials import Revocation
from parley_contracts.errors import ErrorCode, ParleyError

from parley_gateway.chat_socket import ChatSocket

CHECK_S = 0.05
MOST_WATCHING = 1000


class Sockets:
    """Who is connected."""

    def __init__(self) -> None:
        self._open: set[ChatSocket] = set()
        self.streams_open = 0
        self._watching: set[Callable[[], None]] = set()
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

    def expel(self, revocation: Revocation) -> None:
        """Close the sockets of those whom a revocation is about."""
        for socket in self._open:
            if socket.principal.is_concerned(revocation):
                socket.expel()

    @contextmanager
    def streaming(self) -> Generator[None]:
        """Count an HTTP answer that waits for a turn."""
        self.streams_open += 1
        try:
            yield
        finally:
            self.streams_open -= 1

    @contextmanager
    def watching(self, end: Callable[[], None]) -> Generator[None]:
        """Count a client that watches a document, and call `end` when the gateway stops.

        Raises:
            ParleyError: `overloaded` when there are too many, `unavailable` when it stops already.
        """
        if self._is_finishing:
            raise ParleyError(ErrorCode.UNAVAILABLE, "This gateway is stopping; connect again.")
        if len(self._watching) >= MOST_WATCHING:
            raise ParleyError(ErrorCode.OVERLOADED, "Too many documents are watched here now.")
        self._watching.add(end)
        try:
            yield
        finally:
            self._watching.discard(end)

    async def finish(self) -> None:
        """End what watches documents, wait until no client waits for the end of a turn, close all sockets."""
        self._is_finishing = True
        for end in tuple(self._watching):
            end()
        # Turns end in callbacks of the bus; a poll keeps the token path free of bookkeeping.
        while self.streams_open or any(socket.turns_open for socket in self._open):  # noqa: ASYNC110 - see above
            await asyncio.sleep(CHECK_S)
        async with asyncio.TaskGroup() as tasks:
            for socket in tuple(self._open):
                tasks.create_task(socket.close())
