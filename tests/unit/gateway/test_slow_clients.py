"""Clients that take their time, on real sockets: each is cut off, and what it held is free again."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from parley_gateway.server import EdgeServer
from parley_messaging.memory_bus import MemoryBus

from tests.unit.gateway.http_edge import KEY, listening_edge, port_of, until
from tests.unit.gateway.raw_client import (
    CLOSE,
    KEYED,
    NONCE,
    PING,
    PONG,
    TEXT,
    UPGRADE,
    RawClient,
    connected,
    frame,
)

SHORT_S = 0.3
POLICY_VIOLATION = 1008
ASK = b"GET /openapi.json HTTP/1.1\r\n" + KEYED + b"\r\n"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[EdgeServer]:
    bus = MemoryBus()
    async with listening_edge(
        bus,
        tmp_path,
        gateway_headers_s=SHORT_S,
        gateway_stall_s=SHORT_S,
        gateway_frames_per_s=20,
        gateway_connections_per_host=8,
        gateway_uncounted_hosts="",
    ) as server:
        yield server
    await bus.close()


@pytest.fixture
async def client(server: EdgeServer) -> AsyncGenerator[RawClient]:
    async with connected(port_of(server)) as client:
        yield client


async def all_gone(server: EdgeServer) -> None:
    await until(lambda: len(server.guard.connections) == 0)
    assert server.guard.connections.hosts == 0


async def test_one_who_says_nothing_is_cut_off(server: EdgeServer, client: RawClient) -> None:
    assert await client.rest() == b""
    await all_gone(server)


async def test_headers_that_trickle_are_cut_off(server: EdgeServer, client: RawClient) -> None:
    async def trickle() -> None:
        await client.say(b"GET /livez HTTP/1.1\r\n")
        while True:
            await client.say(b"x-slow: 1\r\n")
            await asyncio.sleep(SHORT_S / 10)

    trickling = asyncio.create_task(trickle())
    assert await client.rest() == b""
    trickling.cancel()
    await asyncio.gather(trickling, return_exceptions=True)
    await all_gone(server)


async def test_a_second_request_has_the_same_clock(server: EdgeServer, client: RawClient) -> None:
    await client.say(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await client.head())[0] == 200
    await client.say(b"G")
    await client.rest()
    await all_gone(server)


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


async def test_one_who_reads_no_answer_is_cut_off(server: EdgeServer, client: RawClient) -> None:
    client.reader._transport.pause_reading()  # type: ignore[attr-defined]  # the other end must not read ahead

    async def ask_on() -> None:
        while True:
            await client.say(ASK)

    asking = asyncio.create_task(ask_on())
    await until(lambda: len(server.guard.connections) == 0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def connections_of(server: EdgeServer) -> list[Any]:
    await until(lambda: len(server.server_state.connections) > 0)
    return list(server.server_state.connections)


def unsent(server: EdgeServer) -> int:
    return sum(one.transport.get_write_buffer_size() for one in server.server_state.connections)


async def test_what_is_unsent_does_not_hold_a_connection_that_is_closed(
    server: EdgeServer, client: RawClient
) -> None:
    client.reader._transport.pause_reading()  # type: ignore[attr-defined]  # the other end must not read ahead
    while not unsent(server):
        served = server.server_state.total_requests
        await client.say(ASK)
        await until(lambda served=served: server.server_state.total_requests > served)
    for protocol in server.server_state.connections:
        protocol.transport.close()
    await all_gone(server)


async def test_a_socket_that_begins_behind_an_unread_answer_knows_it(tmp_path: Path) -> None:
    bus = MemoryBus()
    async with listening_edge(bus, tmp_path) as server, connected(port_of(server)) as client:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]  # the other end must not read ahead
        (http,) = await connections_of(server)
        while not http.flow.write_paused:
            served = server.server_state.total_requests
            await client.say(ASK)
            await until(lambda served=served: server.server_state.total_requests > served)
        await client.say(b"GET /ws HTTP/1.1\r\n" + KEYED + UPGRADE + NONCE + b"\r\n")
        await until(lambda: not server.server_state.connections.issuperset({http}))
        (socket,) = await connections_of(server)
        assert not socket.can_write
        client.reader._transport.resume_reading()  # type: ignore[attr-defined]  # and now it does
        await until(lambda: socket.can_write)
        await client.reader.readuntil(b"101 Switching Protocols")
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
