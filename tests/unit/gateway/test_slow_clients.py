"""Clients that take their time, on real sockets: each is cut off, and what it held is free again."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from parley_gateway.server import EdgeServer
from parley_messaging.memory_bus import MemoryBus

from tests.unit.gateway.http_edge import KEY, listening_edge, port_of, until
from tests.unit.gateway.raw_client import (
    CLOSE,
    KEYED,
    NARROW_BYTES,
    NONCE,
    PING,
    PONG,
    TEXT,
    UPGRADE,
    RawClient,
    connected,
    connected_and_deaf,
    frame,
)

SHORT_S = 0.3
POLICY_VIOLATION = 1008
ASK = b"GET /openapi.json HTTP/1.1\r\n" + KEYED + b"\r\n"


@asynccontextmanager
async def guarded_edge(folder: Path, **settings: object) -> AsyncGenerator[EdgeServer]:
    bus = MemoryBus()
    bounds = {
        "gateway_stall_s": SHORT_S,
        "gateway_frames_per_s": 20,
        "gateway_connections_per_host": 8,
        "gateway_uncounted_hosts": "",
    }
    async with listening_edge(bus, folder, **bounds, **settings) as server:
        yield server
    await bus.close()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[EdgeServer]:
    async with guarded_edge(tmp_path) as server:
        yield server


@pytest.fixture
async def client(server: EdgeServer) -> AsyncGenerator[RawClient]:
    async with connected(port_of(server)) as client:
        yield client


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncGenerator[EdgeServer]:
    """A server that waits for headers only a moment; a first WebSocket would take it longer to open."""
    async with guarded_edge(tmp_path, gateway_headers_s=SHORT_S) as server:
        yield server


@pytest.fixture
async def slow(hasty: EdgeServer) -> AsyncGenerator[RawClient]:
    async with connected(port_of(hasty)) as client:
        yield client


async def all_gone(server: EdgeServer) -> None:
    await until(lambda: len(server.guard.connections) == 0)
    assert server.guard.connections.hosts == 0


async def test_one_who_says_nothing_is_cut_off(hasty: EdgeServer, slow: RawClient) -> None:
    assert await slow.rest() == b""
    await all_gone(hasty)


async def test_headers_that_trickle_are_cut_off(hasty: EdgeServer, slow: RawClient) -> None:
    async def trickle() -> None:
        await slow.say(b"GET /livez HTTP/1.1\r\n")
        while True:
            await slow.say(b"x-slow: 1\r\n")
            await asyncio.sleep(SHORT_S / 10)

    trickling = asyncio.create_task(trickle())
    assert await slow.rest() == b""
    trickling.cancel()
    await asyncio.gather(trickling, return_exceptions=True)
    await all_gone(hasty)


async def test_a_second_request_has_the_same_clock(hasty: EdgeServer, slow: RawClient) -> None:
    await slow.say(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await slow.head())[0] == 200
    await slow.say(b"G")
    await slow.rest()
    await all_gone(hasty)


async def test_a_body_that_nobody_reads_does_not_hold_its_connection(
    server: EdgeServer, client: RawClient
) -> None:
    await client.say(b"POST /api/search HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    assert (await client.head())[0] == 401
    await client.say(b"x")
    await client.rest()
    await all_gone(server)


async def test_a_handshake_without_a_key_is_answered_and_closed(
    server: EdgeServer, client: RawClient
) -> None:
    await client.say(b"GET /ws HTTP/1.1\r\nHost: x\r\n" + UPGRADE + NONCE + b"\r\n")
    status, head = await client.head()
    assert (status, b"content-security-policy" in head) == (401, True)
    await client.rest()
    await all_gone(server)


async def test_a_host_has_so_many_connections_and_waits_for_one_to_end(server: EdgeServer) -> None:
    port = port_of(server)
    async with connected(port) as socket:
        await socket.open_socket()
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(7)]
        await until(lambda: len(server.guard.connections) == 8)
        async with connected(port) as refused:
            assert (await refused.head())[0] == 429
        assert server.guard.connections.refused == {"total": 0, "host": 1}
        for _, writer in held:
            writer.transport.abort()
        await until(lambda: len(server.guard.connections) == 1)
    await all_gone(server)


async def test_a_message_that_is_never_finished_closes_its_socket(
    server: EdgeServer, client: RawClient
) -> None:
    await client.open_socket()
    await client.say(frame(TEXT, b'{"type": "pi', is_last=False))
    await client.rest()
    await all_gone(server)


@pytest.mark.parametrize("opcode", [TEXT, PING, PONG])
async def test_a_flood_of_frames_closes_its_socket(
    server: EdgeServer, client: RawClient, opcode: int
) -> None:
    await client.open_socket()
    payload = b'{"type":"ping"}'
    await client.say(frame(opcode, payload) * 400)
    answers = 0
    while (found := await client.frame())[0] != CLOSE:
        answers += 1
    assert int.from_bytes(found[1][:2], "big") == POLICY_VIOLATION
    assert answers <= 110
    await all_gone(server)


async def test_empty_pieces_of_a_message_are_frames_too(server: EdgeServer, client: RawClient) -> None:
    await client.open_socket()
    await client.say(frame(TEXT, b"", is_last=False) + frame(0, b"", is_last=False) * 400)
    opcode, payload = await client.frame()
    assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, POLICY_VIOLATION)
    await all_gone(server)


async def only_connection(server: EdgeServer) -> Any:
    """Return the protocol of a server's one connection, which keeps little for those who read nothing."""
    await until(lambda: len(server.server_state.connections) > 0)
    protocol: Any = next(iter(server.server_state.connections))
    protocol.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NARROW_BYTES)
    return protocol


async def ask_until(server: EdgeServer, client: RawClient, holds: Callable[[], bool]) -> None:
    """Let a client ask, one answer after the other."""
    while not holds():
        served = server.server_state.total_requests
        await client.say(ASK)
        await until(lambda served=served: server.server_state.total_requests > served)


async def test_one_who_reads_no_answer_is_cut_off(server: EdgeServer) -> None:
    async with connected_and_deaf(port_of(server)) as client:
        http = await only_connection(server)
        await ask_until(server, client, http.transport.get_write_buffer_size)
        await all_gone(server)


async def test_what_is_unsent_does_not_hold_a_connection_that_is_closed(server: EdgeServer) -> None:
    async with connected_and_deaf(port_of(server)) as client:
        http = await only_connection(server)
        await ask_until(server, client, http.transport.get_write_buffer_size)
        http.transport.close()
        await all_gone(server)


async def test_a_socket_that_begins_behind_an_unread_answer_knows_it(tmp_path: Path) -> None:
    bus = MemoryBus()
    async with listening_edge(bus, tmp_path) as server, connected_and_deaf(port_of(server)) as client:
        http = await only_connection(server)
        await ask_until(server, client, lambda: http.flow.write_paused)
        await client.say(b"GET /ws HTTP/1.1\r\n" + KEYED + UPGRADE + NONCE + b"\r\n")
        await until(lambda: http not in server.server_state.connections)
        frames: Any = next(iter(server.server_state.connections))
        assert not frames.can_write
        client.transport.resume_reading()
        heard = b""
        while b"101 Switching Protocols" not in heard:
            heard = heard[-100:] + await client.piece()
        await until(lambda: frames.can_write)
    await bus.close()


async def test_a_key_in_the_address_opens_nothing(client: RawClient) -> None:
    target = f"/ws?key={KEY}&access_token={KEY}&token={KEY}".encode()
    await client.say(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n" + UPGRADE + NONCE + b"\r\n")
    assert (await client.head())[0] == 401


async def test_a_key_from_a_foreign_page_opens_no_socket(server: EdgeServer) -> None:
    for origin, status in ((b"http://evil.example", 403), (b"null", 403), (b"http://gateway", 101)):
        async with connected(port_of(server)) as client:
            await client.say(
                b"GET /ws HTTP/1.1\r\n" + KEYED + UPGRADE + NONCE + b"Origin: " + origin + b"\r\n\r\n"
            )
            assert (await client.head())[0] == status, origin
