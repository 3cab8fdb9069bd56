"""Requests that two servers in a row might read differently: refused, and nothing after them is heard."""

import logging
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from parley_gateway.server import EdgeServer
from parley_messaging.memory_bus import MemoryBus

from tests.unit.gateway.http_edge import listening_edge, port_of, until
from tests.unit.gateway.raw_client import KEYED, NONCE, UPGRADE, connected

pytestmark = pytest.mark.asyncio(loop_scope="module")

SMUGGLED = b"GET /api/users/me HTTP/1.1\r\n" + KEYED + b"\r\n"
POST = b"POST /api/search HTTP/1.1\r\n" + KEYED + b"Content-Type: application/json\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[EdgeServer]:
    bus = MemoryBus()
    async with listening_edge(bus, tmp_path_factory.mktemp("edge")) as server:
        yield server
    await bus.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}",
        POST + b"Content-Length: 2, 5\r\n\r\n{}",
        POST + b"Content-Length: +2\r\n\r\n{}",
        POST + b"Content-Length: -1\r\n\r\n{}",
        POST + b"Content-Length: 0x2\r\n\r\n{}",
        POST + b"Content-Length : 2\r\n\r\n{}",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        POST.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\n{}",
        POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/../b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nOrigin: http://b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-Many: 1\r\n" * 101 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 40_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /ws HTTP/1.1\r\n" + KEYED + UPGRADE + b"\r\n",
        b"GET /ws HTTP/1.1\r\n" + KEYED + UPGRADE.replace(b"13", b"8") + NONCE + b"\r\n",
        b"GET /ws HTTP/1.1\r\n" + KEYED + UPGRADE + NONCE + b"Origin: http://gateway\r\n" * 2 + b"\r\n",
        b"POST /ws HTTP/1.1\r\n" + KEYED + UPGRADE + NONCE + b"\r\n",
        b"GET /ws HTTP/1.1\r\n" + KEYED + UPGRADE + NONCE + b"Content-Length: 5\r\n\r\n",
        b"GET /ws HTTP/1.1\r\n" + KEYED + UPGRADE + NONCE + b"Transfer-Encoding: chunked\r\n\r\n",
    ],
    ids=range(38),
)
async def test_a_request_of_two_meanings_is_refused_and_closed_and_fills_no_log(
    server: EdgeServer, caplog: pytest.LogCaptureFixture, request_bytes: bytes
) -> None:
    async with connected(port_of(server)) as client:
        await client.say(request_bytes + SMUGGLED)
        status, _ = await client.head()
        assert 400 <= status < 500 or status in (501, 505)
        assert b"local-owner" not in await client.rest()
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []
    async with connected(port_of(server)) as client:
        await client.say(SMUGGLED)
        assert (await client.head())[0] == 200


async def test_two_good_requests_in_one_go_are_two(server: EdgeServer) -> None:
    async with connected(port_of(server)) as client:
        await client.say(SMUGGLED * 2)
        assert (await client.head())[0] == 200
        assert b"local-owner" in await client.reader.readuntil(b"}")
        assert (await client.head())[0] == 200


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Host: gateway", b"Host: xn--0"),
        (b"Host: gateway", b"Host: xn--a-ecp.example"),
        (b"Host: gateway", b"Host: \xff"),
        (b"Connection: Upgrade", b"Connection: Upgrade, \xff"),
        (b"Connection: Upgrade", b"Connection: Upgrade\r\nSec-WebSocket-Protocol: \xff"),
        (b"Connection: Upgrade", b"Connection: Upgrade\r\nSec-WebSocket-Extensions: \xff"),
    ],
)
async def test_a_handshake_that_nobody_can_read_leaves_nothing_behind(
    server: EdgeServer, caplog: pytest.LogCaptureFixture, old: bytes, new: bytes
) -> None:
    head = b"GET /ws HTTP/1.1\r\nHost: gateway\r\n" + UPGRADE + NONCE + b"\r\n"
    async with connected(port_of(server)) as client:
        await client.say(head.replace(old, new))
        assert (await client.head())[0] in (400, 401)
        await client.rest()
    await until(lambda: len(server.guard.connections) == 0)
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_host_of_another_script_opens_sockets_for_its_own_pages(server: EdgeServer) -> None:
    own = KEYED.replace(b"gateway", b"xn--bcher-kva.example") + UPGRADE + NONCE
    for origin, status in ((b"xn--bcher-kva.example", 101), (b"b\xc3\xbccher.example", 403)):
        async with connected(port_of(server)) as client:
            await client.say(b"GET /ws HTTP/1.1\r\n" + own + b"Origin: http://" + origin + b"\r\n\r\n")
            assert (await client.head())[0] == status


async def test_nobody_changes_to_websockets_in_http_1_0(server: EdgeServer) -> None:
    async with connected(port_of(server)) as client:
        await client.say(b"GET /ws HTTP/1.0\r\n" + KEYED + UPGRADE + NONCE + b"\r\n")
        assert (await client.head())[0] == 404


async def test_a_plain_check_in_http_1_0_needs_no_host_and_nothing_else_goes_without(
    server: EdgeServer,
) -> None:
    asked = {b"GET /livez": 200, b"GET /readyz": 503, b"GET /": 400, b"GET /metrics": 400}
    for line, status in asked.items():
        async with connected(port_of(server)) as client:
            await client.say(line + b" HTTP/1.0\r\n\r\n")
            assert (await client.head())[0] == status, line
    for head in (b"GET /livez HTTP/1.1\r\n", b"GET /livez HTTP/1.0\r\nHost: a b\r\n"):
        async with connected(port_of(server)) as client:
            await client.say(head + b"\r\n")
            assert (await client.head())[0] == 400, head
