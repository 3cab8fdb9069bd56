"""A client that takes 1 KB a second of several large answers on one socket, and then what is left at once."""

import asyncio
from uuid import uuid4

from tests.chaos.raw_socket import RawSocket
from tests.integration.paced import PacedModel
from tests.integration.stack import Stack
from tests.integration.turn_view import Frame, TurnView

BYTES_A_SECOND = 1024
SILENCE_S = 30.0


class SlowReader:
    """Reads `turns` answers over one socket, and over further ones when the gateway gives that one up."""

    def __init__(self, stack: Stack, gateway: int, turns: int) -> None:
        self.views = {view.turn_id: view for view in (TurnView(uuid4().hex) for _ in range(turns))}
        self.closed_with: list[int] = []
        self.slow_bytes = 0
        self._stack = stack
        self._gateway = gateway
        self._may_hurry = asyncio.Event()

    @property
    def deltas(self) -> int:
        """How many frames with text have come."""
        return sum(view.types.count("text_delta") for view in self.views.values())

    def hurry(self) -> None:
        """Read as fast as it comes from now on."""
        self._may_hurry.set()

    async def run(self, model: PacedModel) -> None:
        """Start the turns and read until each is over."""
        start: Frame = {"type": "start_turn", "text": "Much, please.", "model": model.id, "collections": []}
        connection = await RawSocket.open(self._stack.url(self._gateway), self._stack.headers, is_narrow=True)
        try:
            for turn_id in self.views:
                await connection.send({**start, "turn_id": turn_id})
            await self._read_slowly(connection)
            connection.widen()
            await self._read_on(connection)
        finally:
            connection.abort()
        while unfinished := [view for view in self.views.values() if not view.is_over]:
            again = await RawSocket.open(self._stack.url(self._gateway), self._stack.headers)
            try:
                for view in unfinished:
                    asked = {"type": "resume_turn", "turn_id": view.turn_id, "after_seq": view.last_seq}
                    await again.send(asked if view.conversation_id else {**start, "turn_id": view.turn_id})
                await self._read_on(again)
            finally:
                again.abort()

    async def _read_slowly(self, connection: RawSocket) -> None:
        while connection.closed_with is None and not self._may_hurry.is_set():
            await self._read(connection, BYTES_A_SECOND)
            try:
                # The pace is the load.
                async with asyncio.timeout(1.0):
                    await self._may_hurry.wait()
            except TimeoutError:
                continue
        self.slow_bytes = connection.read_bytes

    async def _read_on(self, connection: RawSocket) -> None:
        while connection.closed_with is None and not all(view.is_over for view in self.views.values()):
            await self._read(connection, 64 * 1024)
        if connection.closed_with is not None:
            self.closed_with.append(connection.closed_with)

    async def _read(self, connection: RawSocket, most_bytes: int) -> None:
        async with asyncio.timeout(SILENCE_S):
            frames = await connection.read(most_bytes)
        for frame in frames:
            assert frame["type"] != "error", frame
            self.views[frame["turn_id"]].take(frame)
