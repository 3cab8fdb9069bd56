"""A turn's events for one HTTP answer, in order, however slowly the client takes them."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turn_events import (
    TERMINAL_TYPES,
    GenerationFinished,
    Sync,
    TurnCancelled,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    frame_type,
    known_event,
)

from parley_gateway.principal import Principal
from parley_gateway.turn_door import AcceptedTurn, TurnDoor

END_S = 30.0
"""How long past a turn's own time its terminal event is waited for."""

QUIET_S = 5.0
CATCHING_UP_S = 0.05
"""A replay that has come to the end of the log says so to nobody."""

Ending = TurnCompleted | TurnCancelled | TurnFailed | Sync
"""What ends a turn for whoever reads it."""


class AnswerReader:
    """Frames that wait for one HTTP answer.

    Full rule: past `max_bytes` no more are taken; when those that wait have been read, the turn is joined
    again after the last of them, from its log. One frame is taken whatever its size.
    """

    def __init__(self, door: TurnDoor, principal: Principal, *, max_bytes: int, turn_s: float) -> None:
        self._door = door
        self._principal = principal
        self._max_bytes = max_bytes
        self._limit_s = turn_s + END_S
        self._frames: deque[tuple[bytes, int]] = deque()
        self._bytes = 0
        self._is_overfull = False
        self._arrived = asyncio.Event()
        self._turn: AcceptedTurn | None = None
        self._last_seq = 0
        self._holds_back = False
        self.rejoined = 0

    def take(self, frame: bytes, seq: int) -> None:
        """Take a frame from the bus; never blocks."""
        if self._is_overfull:
            return
        if self._frames and self._bytes + len(frame) > self._max_bytes:
            self._is_overfull = True
            return
        self._frames.append((frame, seq))
        self._bytes += len(frame)
        self._arrived.set()

    def follow(self, turn: AcceptedTurn) -> None:
        """Read the turn whose watch hands its frames to `take`."""
        self._turn = turn
        # What a repeat reads first may have been superseded since: only the log's end says what stands.
        self._holds_back = turn.is_repeat

    @property
    def turn(self) -> AcceptedTurn:
        """The turn that is read."""
        if self._turn is None:
            raise RuntimeError("no turn is followed")
        return self._turn

    @property
    def is_behind(self) -> bool:
        """Whether more is to be read before any of it is told."""
        watch = self.turn.watch
        self._holds_back = self._holds_back and watch.is_catching_up and not watch.is_finished
        return self._holds_back or bool(self._frames)

    async def events(self) -> AsyncGenerator[TurnEvent | Sync | None]:
        """Yield events up to the one that ends the turn; None while nothing comes, and for unknown ones.

        Raises:
            ParleyError: `timeout` when the end does not come, `unavailable` when it cannot be read.
        """
        until_s = asyncio.get_running_loop().time() + self._limit_s
        while True:
            frame = await self._next(until_s)
            if frame is None:
                yield None
                continue
            kind = frame_type(frame)
            yield Sync.model_validate_json(frame) if kind == "sync" else known_event(frame)
            if kind in TERMINAL_TYPES or kind == "sync":
                return

    async def whole(self) -> tuple[str, Ending]:
        """Return the whole text of the answer and what ends the turn, which is watched no longer.

        Raises:
            ParleyError: The end could not be read.
        """
        text = ""
        try:
            async for event in self.events():
                if isinstance(event, GenerationFinished):
                    text = event.text
                elif isinstance(event, Sync):
                    return event.text, event
                elif isinstance(event, TurnCompleted | TurnCancelled | TurnFailed):
                    return text, event
        finally:
            await self.release()
        raise ParleyError(ErrorCode.INTERNAL, "The turn ended without an answer.")

    async def _next(self, until_s: float) -> bytes | None:
        if not self._frames and self._is_overfull:
            await self._rejoin()
        if not self._frames:
            await self._wait(until_s)
        if not self._frames:
            return None
        frame, self._last_seq = self._frames.popleft()
        self._bytes -= len(frame)
        return frame

    async def _wait(self, until_s: float) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() >= until_s:
            raise ParleyError(ErrorCode.TIMEOUT, "The turn took longer than allowed.")
        self._arrived.clear()
        wait_s = CATCHING_UP_S if self.turn.watch.is_catching_up else QUIET_S
        try:
            async with asyncio.timeout_at(min(until_s, loop.time() + wait_s)):
                await self._arrived.wait()
        except TimeoutError:
            return

    async def _rejoin(self) -> None:
        turn = self.turn
        await self._door.release(turn.watch)
        self._is_overfull = self._holds_back = False
        self.rejoined += 1
        self._turn = await self._door.resume(
            self._principal, turn.ref.client_turn_id, self._last_seq, self.take
        )

    async def release(self) -> None:
        """Watch the turn no longer; repeated calls do nothing."""
        if self._turn is not None:
            await self._door.release(self._turn.watch)
