"""A WebSocket client for tests: sends frames, and keeps a view of each turn that it hears of."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from parley_cli.client.turn_socket import new_turn_id
from websockets.asyncio.client import ClientConnection, connect

from tests.integration.turn_view import Frame, TurnView

FRAME_S = 20.0
"""The longest silence that is taken for life; every pace in the tests is far quicker."""

OPEN_S = 10.0
MAX_FRAME_BYTES = 16 * 1024 * 1024


@asynccontextmanager
async def open_socket(
    url: str, headers: Mapping[str, str], *, timeout_s: float = OPEN_S
) -> AsyncGenerator[ClientConnection]:
    """Open the WebSocket of the gateway at `url`; opening and closing it may take that long."""
    async with connect(
        f"{url.replace('http', 'ws', 1)}/ws",
        additional_headers=headers,
        open_timeout=timeout_s,
        close_timeout=timeout_s,
        max_size=MAX_FRAME_BYTES,
        compression=None,
        proxy=None,
    ) as connection:
        yield connection


class ChatClient:
    """One socket. Frames of turns go to their views, everything else to whoever asks for the next frame."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._views: dict[str, TurnView] = {}

    async def send(self, frame: Frame | str | bytes) -> None:
        """Send a frame; text and bytes go out as they are."""
        await self.connection.send(json.dumps(frame) if isinstance(frame, dict) else frame)

    async def next_frame(self) -> Frame:
        """Return the next frame, which its turn's view has taken if it belongs to one."""
        async with asyncio.timeout(FRAME_S):
            frame: Frame = json.loads(await self.connection.recv())
        view = self._views.get(frame.get("turn_id") or "")
        if view is not None and frame["type"] not in ("error", "cancel_accepted"):
            view.take(frame)
        return frame

    def expect(self, view: TurnView) -> None:
        """Let `view` take the frames of its turn."""
        self._views[view.turn_id] = view

    async def answer_to(self, frame: Frame | str | bytes) -> Frame:
        """Send a frame and return the next one that comes."""
        await self.send(frame)
        return await self.next_frame()

    async def start(self, text: str, *, turn_id: str | None = None, **fields: Any) -> TurnView:
        """Start a turn and return its view once it is accepted."""
        view = TurnView(turn_id or new_turn_id())
        self._views[view.turn_id] = view
        await self.send({"type": "start_turn", "turn_id": view.turn_id, "text": text, **fields})
        frame = await self.frame_of("turn_accepted", view.turn_id)
        assert view.conversation_id == frame["conversation_id"]
        return view

    async def resume(self, view: TurnView) -> None:
        """Ask for the rest of a turn; it is added to what `view` has."""
        self._views[view.turn_id] = view
        await self.send({"type": "resume_turn", "turn_id": view.turn_id, "after_seq": view.last_seq})

    async def frame_of(self, kind: str, turn_id: str) -> Frame:
        """Read on until a frame of that type and turn has come; an error frame of the turn fails."""
        while True:
            frame = await self.next_frame()
            if frame.get("turn_id") == turn_id and frame["type"] in (kind, "error"):
                assert frame["type"] == kind, frame
                return frame

    async def until(self, holds: Callable[[], bool]) -> None:
        """Read on until `holds` does."""
        while not holds():
            frame = await self.next_frame()
            assert frame["type"] != "error", frame

    async def ask(self, text: str, **fields: Any) -> TurnView:
        """Start a turn and return its view when it is over."""
        view = await self.start(text, **fields)
        await self.until(lambda: view.is_over)
        return view
