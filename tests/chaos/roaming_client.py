"""A client as a real one is: it reconnects after a pause, to the next gateway, and asks for its turns."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.chaos.viewed import Frame, Viewed
from tests.integration.chat_client import open_socket

OPEN_S = 2.0
PAUSE_S = (0.1, 0.3)


class RoamingClient:
    """One socket at a time, any number of turns on it."""

    def __init__(self, urls: Sequence[str], headers: Mapping[str, str], random: Random) -> None:
        self.reconnects = 0
        self._urls = urls
        self._headers = headers
        self._random = random
        self._turns: dict[str, Viewed] = {}
        self._connection: ClientConnection | None = None

    async def begin(self, turn: Viewed) -> None:
        """Start a turn now, or as soon as there is a socket."""
        self._turns[turn.turn_id] = turn
        await self._ask(turn)

    async def run(self) -> None:
        """Stay connected until cancelled; `urls` are gone through in turn."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                url = self._urls[self.reconnects % len(self._urls)]
                try:
                    await self._serve(url, tasks)
                except (OSError, TimeoutError, WebSocketException):
                    # Whatever ended the socket: the next one is opened after a pause.
                    self._connection = None
                self.reconnects += 1
                await self._pause()

    async def _serve(self, url: str, tasks: asyncio.TaskGroup) -> None:
        async with open_socket(url, self._headers, timeout_s=OPEN_S) as connection:
            self._connection = connection
            for turn in tuple(self._turns.values()):
                if not turn.is_over:
                    await self._ask(turn)
            async for text in connection:
                self._take(json.loads(text), tasks)
        self._connection = None

    async def _ask(self, turn: Viewed) -> None:
        if self._connection is None:
            return
        try:
            await self._connection.send(json.dumps(turn.request()))
        except ConnectionClosed:
            # `_serve` notices as well, and asks again on the next socket.
            return

    def _take(self, frame: Frame, tasks: asyncio.TaskGroup) -> None:
        turn = self._turns.get(frame.get("turn_id") or "")
        if turn is None:
            return
        now_s = asyncio.get_running_loop().time()
        if frame["type"] == "turn_accepted":
            turn.accept(frame, now_s)
        elif frame["type"] == "error":
            self._refused(turn, frame, tasks)
        else:
            turn.take(frame, now_s)

    def _refused(self, turn: Viewed, frame: Frame, tasks: asyncio.TaskGroup) -> None:
        if frame["retryable"]:
            tasks.create_task(self._ask_again(turn, self._connection))
        else:
            turn.faults.append(f"refused: {frame}")

    async def _ask_again(self, turn: Viewed, connection: Any) -> None:
        await self._pause()
        # On another socket it has been asked for already.
        if connection is self._connection and not turn.is_over:
            await self._ask(turn)

    async def _pause(self) -> None:
        await asyncio.sleep(self._random.uniform(*PAUSE_S))
