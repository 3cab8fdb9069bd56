"""The open WebSockets of a gateway process, so that it can let them finish before it stops."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from parley_contracts.errors import ErrorCode, ParleyError

from parley_gateway.chat_socket import ChatSocket

CHECK_S = 0.05
MOST_WATCHING = 1000


class Sockets:
    """Who is connected."""

    def __init__(self) -> None:
        self._open: set[ChatSocket] = set()
        self.streams_open = 0
        self._watching = 0

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

    @contextmanager
    def streaming(self) -> Generator[None]:
        """Count an HTTP answer that waits for a turn."""
        self.streams_open += 1
        try:
            yield
        finally:
            self.streams_open -= 1

    @contextmanager
    def watching(self) -> Generator[None]:
        """Count a client that watches a document; ParleyError `overloaded` when there are too many."""
        if self._watching >= MOST_WATCHING:
            raise ParleyError(ErrorCode.OVERLOADED, "Too many documents are watched here now.")
        self._watching += 1
        try:
            yield
        finally:
            self._watching -= 1

    async def finish(self) -> None:
        """Wait until no client waits for the end of a turn, then close all sockets."""
        # Turns end in callbacks of the bus; a poll keeps the token path free of bookkeeping.
        while self.streams_open or any(socket.turns_open for socket in self._open):  # noqa: ASYNC110 - see above
            await asyncio.sleep(CHECK_S)
        async with asyncio.TaskGroup() as tasks:
            for socket in tuple(self._open):
                tasks.create_task(socket.close())
