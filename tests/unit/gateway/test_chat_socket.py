"""One client's socket: how many turns it may have open, and what becomes of one that does not read."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_contracts.credentials import Revocation, RevokedKind
from parley_contracts.errors import ErrorCode
from parley_contracts.turn_events import TurnFailed, encode_event
from parley_gateway.bot_turns import BotTurns
from parley_gateway.chat_socket import MAX_TURNS_A_SOCKET, POLICY_VIOLATION, TRY_AGAIN_LATER, ChatSocket
from parley_gateway.frame_protocol import FRAMES
from parley_gateway.ids import OwnedIds
from parley_gateway.outstaying import Outstaying
from parley_gateway.principal import Principal
from parley_gateway.settings import GatewaySettings
from parley_gateway.sockets import Sockets
from parley_messaging.bus import Bus
from parley_messaging.memory_bus import MemoryBus
from starlette.websockets import WebSocket

from tests.unit.gateway.http_edge import KEY, make_edge
from tests.unit.gateway.known_keys import KnownKeys
from tests.unit.gateway.rig import OWNER, Rig, running
from tests.unit.gateway.test_outbox import HeldWriter

WAIT_S = 10.0


class Client:
    """The other end of a socket in memory."""

    def __init__(self) -> None:
        self.writer = HeldWriter()
        self.scope: dict[str, Any] = {"extensions": {FRAMES: self.writer}}
        self.closed_with: int | None = None
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(self) -> dict[str, Any]:
        return await self._sent.get()

    async def close(self, code: int, reason: str) -> None:
        self.closed_with = code

    def send(self, **frame: Any) -> None:
        self._sent.put_nowait({"type": "websocket.receive", "text": json.dumps(frame)})

    def leave(self) -> None:
        self._sent.put_nowait({"type": "websocket.disconnect"})

    @property
    def frames(self) -> list[Any]:
        return [json.loads(frame) for frame in self.writer.frames]

    async def until(self, holds: Callable[[list[Any]], bool]) -> list[Any]:
        async with asyncio.timeout(WAIT_S):
            while not holds(self.frames):
                self.writer.written.clear()
                await self.writer.written.wait()
        return self.frames


@asynccontextmanager
async def connected(
    rig: Rig,
    *,
    outbox_bytes: int = 1_000_000,
    principal: Principal = OWNER,
    sockets: Sockets | None = None,
) -> AsyncGenerator[Client]:
    client = Client()
    socket = ChatSocket(
        cast(WebSocket, client),
        principal,
        rig.first.door,
        rig.first.stopper,
        bots=BotTurns(rig.bus, rig.first.door),
        outbox_bytes=outbox_bytes,
    )
    async with asyncio.TaskGroup() as tasks:
        with (Sockets() if sockets is None else sockets).serving(socket):
            tasks.create_task(socket.run())
            yield client
        client.leave()


async def open_all(client: Client) -> list[Any]:
    for number in range(MAX_TURNS_A_SOCKET):
        client.send(type="start_turn", turn_id=f"t{number}", text="Go on.")
    return await client.until(lambda frames: _count(frames, "turn_accepted") == MAX_TURNS_A_SOCKET)


def _count(frames: list[Any], kind: str) -> int:
    return sum(frame["type"] == kind for frame in frames)


@pytest.fixture
async def idle_rig() -> AsyncGenerator[Rig]:
    """Gateways whose turns wait for ever."""
    bus = MemoryBus()
    async with running(bus, runs_turns=False) as rig:
        yield rig
    await bus.close()


async def test_a_socket_has_so_many_turns_open_and_no_more(idle_rig: Rig) -> None:
    async with connected(idle_rig) as client:
        await open_all(client)
        client.send(type="start_turn", turn_id="one-more", text="Go on.")
        refused = (await client.until(lambda frames: _count(frames, "error") == 1))[-1]
        assert (refused["turn_id"], refused["code"]) == ("one-more", ErrorCode.OVERLOADED)
        assert refused["retryable"]


async def test_a_turn_that_has_ended_makes_room_for_another(idle_rig: Rig) -> None:
    async with connected(idle_rig) as client:
        await open_all(client)
        ending = TurnFailed(
            seq=1_000_000,
            follows=0,
            turn_id="t7",
            conversation_id="c",
            code=ErrorCode.INTERNAL,
            message="m",
            retryable=False,
        )
        turn_id = OwnedIds(b"secret").turn_id(OWNER.owner_id, "t7")
        await idle_rig.bus.store(subjects.turn_events("gateway-1", turn_id), encode_event(ending))
        await client.until(lambda frames: _count(frames, "turn_failed") == 1)
        client.send(type="start_turn", turn_id="one-more", text="Go on.")
        await client.until(lambda frames: _count(frames, "turn_accepted") == MAX_TURNS_A_SOCKET + 1)


async def test_a_turn_of_a_full_socket_is_resumed_on_it(idle_rig: Rig) -> None:
    async with connected(idle_rig) as client:
        await open_all(client)
        client.send(type="resume_turn", turn_id="t7", after_seq=0)
        frames = await client.until(lambda frames: _count(frames, "turn_accepted") == MAX_TURNS_A_SOCKET + 1)
        assert _count(frames, "error") == 0


async def test_one_who_does_not_read_is_sent_away_and_gets_everything_when_he_comes_back(bus: Bus) -> None:
    async with running(bus) as rig:
        turn_id = uuid4().hex
        words = [f"{number} " * 20 for number in range(200)]
        rig.model.pieces = [*words]
        async with connected(rig, outbox_bytes=4_000) as slow:
            slow.writer.can_write = False
            slow.send(type="start_turn", turn_id=turn_id, text="Much, please.", model="scripted")
            async with asyncio.timeout(WAIT_S):
                while slow.closed_with is None:  # noqa: ASYNC110 - a closed socket tells nobody here
                    await asyncio.sleep(0.01)
        assert slow.closed_with == TRY_AGAIN_LATER
        assert slow.frames == []
        async with connected(rig) as back:
            back.send(type="resume_turn", turn_id=turn_id, after_seq=0)
            frames = await back.until(lambda frames: _count(frames, "turn_completed") == 1)
        assert "".join(frame.get("text", "") for frame in frames) == "".join(words)
        seqs = [frame["seq"] for frame in frames if "seq" in frame]
        assert seqs == sorted(set(seqs))


async def test_a_socket_is_closed_when_the_key_expires_that_opened_it(idle_rig: Rig) -> None:
    sockets, now_ms = Sockets(), 1_000
    principal = replace(OWNER, key_id="k1", expires_at_ms=2_000)
    outstaying = Outstaying(sockets, KnownKeys({}), clock=lambda: now_ms)
    async with connected(idle_rig, principal=principal, sockets=sockets) as client:
        await outstaying.look()
        client.send(type="ping")
        await client.until(lambda frames: _count(frames, "pong") == 1)
        now_ms = 2_000
        await outstaying.look()
        async with asyncio.timeout(WAIT_S):
            while client.closed_with is None:  # noqa: ASYNC110 - a closed socket tells nobody here
                await asyncio.sleep(0.01)
    assert client.closed_with == POLICY_VIOLATION


async def test_a_socket_whose_key_is_revoked_while_it_opens_is_closed(tmp_path: Path) -> None:
    keys, heard = {KEY: OWNER}, list[Any]()
    bus = MemoryBus()
    edge, app = make_edge(bus, GatewaySettings(data_dir=tmp_path), KnownKeys(keys))
    await bus.start()

    async def receive() -> dict[str, Any]:
        if heard:
            await asyncio.Event().wait()
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        heard.append(message)
        if message["type"] == "websocket.accept":
            keys.clear()
            edge.sockets.expel(
                Revocation(id="1", kind=RevokedKind.USER, revoked_id=OWNER.owner_id, at_ms=1, expires_at_ms=2)
            )

    scope: dict[str, Any] = {
        "type": "websocket",
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/ws",
        "raw_path": b"/ws",
        "query_string": b"",
        "headers": [(b"host", b"gateway"), (b"authorization", f"Bearer {KEY}".encode())],
        "client": ("127.0.0.1", 1),
        "subprotocols": [],
        "extensions": {FRAMES: HeldWriter()},
    }
    async with asyncio.timeout(WAIT_S):
        await app(scope, receive, send)
    assert [message["type"] for message in heard] == ["websocket.accept", "websocket.close"]
    assert heard[-1]["code"] == POLICY_VIOLATION
    await bus.close()
