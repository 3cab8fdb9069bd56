"""A turn over the chat socket: started once, resumed wherever a connection broke, until its end."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from uuid import UUID

from parley_contracts.client_frames import (
    CancelTurnFrame,
    ClientFrame,
    ErrorFrame,
    ResumeTurnFrame,
    StartTurnFrame,
    TurnAccepted,
)
from parley_contracts.turn_events import Sync, TurnEvent
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException

from parley_cli.client.access import Access
from parley_cli.client.answer import Answer, ServerFrame, parse_frame
from parley_cli.exits import CliError, ExitCode, nobody_answers, tls_refused

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0
GIVE_UP_S = 30.0
OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
MAX_FRAME_BYTES = 16 * 1024 * 1024
REFUSED_KEY = {401: "The key was refused: check PARLEY_API_KEY.", 403: "This key may not do that."}


def new_turn_id() -> str:
    """Return an id by which the same turn can be asked for again.

    A UUID of version 7 (RFC 9562) tells when it was made: the gateway need not take a new one for a repeat.
    """
    made_ms = int(time.time() * 1000)
    return UUID(int=made_ms << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)).hex


class TurnSocket:
    """Follows one turn; a broken connection is made again and the rest of the events asked for."""

    def __init__(
        self, access: Access, turn_id: str, start: StartTurnFrame | None, *, after_seq: int = 0
    ) -> None:
        self._access = access
        self._start = start
        self._is_accepted = start is None
        self._is_cancelled = False
        self._was_connected = False
        self._seq = after_seq
        self._connection: ClientConnection | None = None
        self.answer = Answer(turn_id)

    async def frames(self) -> AsyncGenerator[ServerFrame]:
        """Yield every new frame of the turn up to its end; `answer` is up to date with each."""
        wait_s, broken_since_s = FIRST_WAIT_S, time.monotonic()
        while not self.answer.is_over:
            async with aclosing(self._one_connection()) as frames:
                async for frame in frames:
                    wait_s, broken_since_s = FIRST_WAIT_S, time.monotonic()
                    yield frame
            if not self.answer.is_over:
                self._give_up_after(broken_since_s)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    async def _one_connection(self) -> AsyncGenerator[ServerFrame]:
        """Yield new frames until the connection ends or breaks. CliError when nobody was ever there."""
        try:
            async with connect(
                self._access.socket_url,
                additional_headers=self._access.headers,
                max_size=MAX_FRAME_BYTES,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                compression=None,
                proxy=None,
                ssl=self._access.tls,
            ) as connection:
                self._connection = connection
                self._was_connected = True
                await self._say_where_we_are(connection)
                async for frame in self._new_frames(connection):
                    yield frame
        except InvalidStatus as error:
            self._refused(error)
        except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
            if not self._was_connected:
                url = self._access.url
                raise tls_refused(url, error) or nobody_answers(url) from None
        finally:
            self._connection = None

    def _refused(self, error: InvalidStatus) -> None:
        status = error.response.status_code
        if status in REFUSED_KEY:
            raise CliError(REFUSED_KEY[status], code="unauthenticated") from None

    def _give_up_after(self, broken_since_s: float) -> None:
        if time.monotonic() - broken_since_s > GIVE_UP_S:
            raise CliError(
                f"No connection for {GIVE_UP_S:g} s; the turn goes on without us:"
                f" `parley events {self.answer.turn_id}` shows it.",
                code="unavailable",
            )

    async def _say_where_we_are(self, connection: ClientConnection) -> None:
        if not self._is_accepted and self._start is not None:
            await _send(connection, self._start)
            return  # a stop waits until there is a turn to be stopped
        resume = ResumeTurnFrame(type="resume_turn", turn_id=self.answer.turn_id, after_seq=self._seq)
        await _send(connection, resume)
        if self._is_cancelled:
            await self._send_cancel(connection)

    async def _new_frames(self, connection: ClientConnection) -> AsyncGenerator[ServerFrame]:
        """Yield frames not seen before; a frame that was merged carries its last seq."""
        async for data in connection:
            frame = parse_frame(data)
            if frame is None or getattr(frame, "turn_id", self.answer.turn_id) not in (
                self.answer.turn_id,
                None,
            ):
                continue
            if isinstance(frame, TurnAccepted):
                is_stop_due = self._is_cancelled and not self._is_accepted
                self._is_accepted = True
                if is_stop_due:
                    await self._send_cancel(connection)
            if isinstance(frame, TurnEvent | Sync):
                if frame.seq <= self._seq and not isinstance(frame, Sync):
                    continue
                self._is_accepted = True
                self._seq = frame.seq
            if isinstance(frame, ErrorFrame) and self._is_only_late_cancel(frame):
                continue
            self.answer.apply(frame)
            yield frame
            if self.answer.is_over:
                return

    def _is_only_late_cancel(self, frame: ErrorFrame) -> bool:
        """A stop that came after the end is refused; the end itself follows in the log."""
        return self._is_cancelled and self._is_accepted and frame.code == "conflict"

    async def cancel(self) -> None:
        """Ask for the turn to be stopped; its end is still to come, also over a later connection."""
        self._is_cancelled = True
        if self._connection is not None and self._is_accepted:
            await self._send_cancel(self._connection)

    async def _send_cancel(self, connection: ClientConnection) -> None:
        await _send(connection, CancelTurnFrame(type="cancel_turn", turn_id=self.answer.turn_id))


async def _send(connection: ClientConnection, frame: ClientFrame) -> None:
    body: dict[str, Any] = frame.model_dump(mode="json", exclude_defaults=True)
    await connection.send(json.dumps(body, ensure_ascii=False))


def not_found(turn_id: str) -> CliError:
    """Return the error of a turn that is not there, or not ours: the two look the same."""
    return CliError(f"There is no turn {turn_id!r}.", ExitCode.NOT_FOUND, code="not_found")
