"""`GET /ws`: JSON text frames, many turns on one socket. Leaving is not stopping."""

import asyncio
import json
import logging
from contextlib import suppress
from typing import Any

from parley_contracts import invalid_fields
from parley_contracts.client_frames import (
    CLIENT_FRAME,
    MAX_TURN_ID_CHARS,
    CancelAccepted,
    CancelTurnFrame,
    ErrorFrame,
    Pong,
    ResumeTurnFrame,
    StartTurnFrame,
    TurnAccepted,
)
from parley_contracts.errors import ErrorBody, ErrorCode, ParleyError
from parley_contracts.model import WireModel
from parley_messaging.error_boundary import described
from parley_messaging.turn_watch import TurnWatch
from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from parley_gateway.bot_turns import BotTurns
from parley_gateway.frame_protocol import FRAMES
from parley_gateway.outbox import FrameWriter, Lane, Outbox, SlowSocketError
from parley_gateway.principal import Principal
from parley_gateway.turn_door import AcceptedTurn, TurnDoor
from parley_gateway.turn_stopper import TurnStopper

log = logging.getLogger("parley.gateway")

TRY_AGAIN_LATER = 1013
SERVICE_RESTART = 1012
POLICY_VIOLATION = 1008
MAX_TURNS_A_SOCKET = 64
CLOSE_S = 5.0


class ExpelledError(Exception):
    """What the client came in by was revoked, or has expired."""


class ChatSocket:
    """One client's socket."""

    def __init__(
        self,
        socket: WebSocket,
        principal: Principal,
        door: TurnDoor,
        stopper: TurnStopper,
        *,
        bots: BotTurns,
        outbox_bytes: int,
    ) -> None:
        self._socket = socket
        self.principal = principal
        self._door = door
        self._stopper = stopper
        self._bots = bots
        self._writer: FrameWriter = socket.scope["extensions"][FRAMES]
        self._outbox = Outbox(self._writer, outbox_bytes)
        self._watches: dict[str, TurnWatch] = {}
        self._is_expelled = asyncio.Event()

    @property
    def turns_open(self) -> int:
        """How many turns have still to end, or to be sent to the end."""
        unfinished = sum(not watch.is_finished for watch in self._watches.values())
        return unfinished or int(not self._outbox.is_empty)

    async def run(self) -> None:
        """Serve the socket until it is closed by either side."""
        try:
            async with asyncio.TaskGroup() as tasks:
                receiving = tasks.create_task(self._receive())
                others = [tasks.create_task(self._outbox.overflow()), tasks.create_task(self._expulsion())]
                await receiving
                for other in others:
                    other.cancel()
        except* (WebSocketDisconnect, RuntimeError):
            log.debug("socket closed while it was written to")
        except* SlowSocketError:
            await self._close(TRY_AGAIN_LATER, "too slow; reconnect and resume")
        except* ExpelledError:
            await self._close(POLICY_VIOLATION, "what you came in by is good no more; log in again")
        finally:
            for watch in self._watches.values():
                await self._door.release(watch)

    async def close(self) -> None:
        """Close the socket because the gateway stops; the client resumes elsewhere."""
        await self._close(SERVICE_RESTART, "restarting; reconnect and resume")

    def expel(self) -> None:
        """Have the socket closed because its client may be here no longer."""
        self._is_expelled.set()

    async def _expulsion(self) -> None:
        await self._is_expelled.wait()
        raise ExpelledError

    async def _close(self, code: int, reason: str) -> None:
        # The client may have left in the same moment; one that reads nothing never makes room for a reason.
        try:
            async with asyncio.timeout(CLOSE_S):
                with suppress(WebSocketDisconnect, RuntimeError):
                    await self._socket.close(code, reason)
        except TimeoutError:
            self._writer.abort()

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            await self._handle(text if text is not None else message.get("bytes") or b"")

    async def _handle(self, text: str | bytes) -> None:
        turn_id: str | None = None
        try:
            frame = CLIENT_FRAME.validate_json(text)
            turn_id = getattr(frame, "turn_id", None)
            match frame:
                case StartTurnFrame():
                    await self._start(frame)
                case CancelTurnFrame():
                    self._stopper.see_to(await self._door.cancel(self.principal, frame.turn_id))
                    self._reply(CancelAccepted(turn_id=frame.turn_id))
                case ResumeTurnFrame():
                    await self._resume(frame)
                case _:
                    self._reply(Pong())
        except ValidationError as error:
            self._refuse(_frame_fault(error), _turn_id_of(text))
        except Exception as error:
            body = described(error)
            if body.code is ErrorCode.INTERNAL:
                log.exception("frame failed")
            self._refuse(body, turn_id)

    async def _start(self, frame: StartTurnFrame) -> None:
        await self._make_room()
        relay = _TurnRelay(self._outbox)
        accepted = await self._bots.start(self.principal, frame, relay.take)
        await self._watch(accepted.ref.client_turn_id, accepted.watch)
        self._accept(accepted, relay)
        await self._door.hear_positions(accepted, self._outbox.put)

    def _accept(self, turn: AcceptedTurn, relay: "_TurnRelay") -> None:
        self._reply(TurnAccepted(turn_id=turn.ref.client_turn_id, conversation_id=turn.conversation_id))
        relay.open()

    async def _resume(self, frame: ResumeTurnFrame) -> None:
        if earlier := self._watches.pop(frame.turn_id, None):
            await self._door.release(earlier)
        await self._make_room()
        relay = _TurnRelay(self._outbox)
        found = await self._door.resume(self.principal, frame.turn_id, frame.after_seq, relay.take)
        await self._watch(frame.turn_id, found.watch)
        self._accept(found, relay)
        await self._door.hear_positions(found, self._outbox.put)

    async def _watch(self, client_turn_id: str, watch: TurnWatch) -> None:
        earlier = self._watches.get(client_turn_id)
        self._watches[client_turn_id] = watch
        if earlier is not None:
            await self._door.release(earlier)

    async def _make_room(self) -> None:
        for client_turn_id in [key for key, watch in self._watches.items() if watch.is_finished]:
            await self._door.release(self._watches.pop(client_turn_id))
        if len(self._watches) >= MAX_TURNS_A_SOCKET:
            raise ParleyError(ErrorCode.OVERLOADED, "Too many turns are open on this socket.")

    def _reply(self, message: WireModel) -> None:
        self._outbox.put(message.model_dump_json(exclude_none=True).encode())

    def _refuse(self, body: ErrorBody, turn_id: str | None) -> None:
        self._reply(ErrorFrame(turn_id=turn_id, **body.model_dump()))


class _TurnRelay:
    """Holds a turn's events back until `turn_accepted` has gone before them."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._lane = Lane()
        self._held: list[bytes] | None = []

    def take(self, frame: bytes, _: int) -> None:
        if self._held is None:
            self._outbox.relay(frame, self._lane)
        else:
            self._held.append(frame)

    def open(self) -> None:
        for frame in self._held or ():
            self._outbox.relay(frame, self._lane)
        self._held = None


def _turn_id_of(text: str | bytes) -> str | None:
    """Return the turn that a frame which is refused is about, as far as it says so."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    turn_id = found.get("turn_id") if isinstance(found, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType] - a client's JSON
    # JSON may name half of a surrogate pair (RFC 8259, section 8.2): it is read, and cannot be written on.
    return turn_id[:MAX_TURN_ID_CHARS].encode(errors="replace").decode() if isinstance(turn_id, str) else None


def _frame_fault(error: ValidationError) -> ErrorBody:
    """Return what is wrong with a client's frame, naming the field."""
    first = error.errors(include_url=False, include_input=False)[0]
    # The first part of the place is the frame type that the union chose.
    field = invalid_fields.place(first, without_first=True)
    if first["type"] == "json_invalid":
        message = "The frame is not JSON."
    elif first["type"].startswith("union_tag"):
        field, message = "type", "type: one of start_turn, cancel_turn, resume_turn and ping is expected."
    else:
        message = f"{field or 'frame'}: {invalid_fields.saying(first)}"
    return ParleyError(ErrorCode.INVALID_REQUEST, message, field=field).body()
