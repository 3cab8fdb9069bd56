"""Whatever a client sends as HTTP: no 5xx, nothing is logged as an error, and the next client is served."""

import asyncio
import logging
import os
import re
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from parley_gateway.server import EdgeServer
from parley_messaging.memory_bus import MemoryBus

from tests.unit.gateway.http_edge import listening_edge, port_of, until
from tests.unit.gateway.raw_client import KEYED, connected

CASES = int(os.environ.get("PARLEY_FUZZ_CASES", "60"))
FUZZ = settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=CASES < 1000,
)
SHORT_S = 0.2
GIVE_UP_S = 0.4
PATIENT_S = 10.0
LAST = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
NOT_SPOKEN = 505
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")

METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"DELETE", b"CONNECT", b"PRI", b"", b"get"])
TARGETS = st.sampled_from(
    rb"/ * // /livez /ws /api/users/me /api/search /page/../secrets /%00 http://x/livez x:443 /%ff"
    rb" /page/%2e%2e/%2e%2e/etc/passwd /?a=1&a=2 /#a".split()
)
VERSIONS = st.sampled_from(
    [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.1 ", b"http/1.1", b""]
)
NAMES = st.sampled_from(
    b"Content-Length Transfer-Encoding Content-Type Cookie Origin Connection Upgrade Expect TE Range Host"
    b" Sec-WebSocket-Key Sec-WebSocket-Version X-Forwarded-For If-None-Match X-Request-Id Idempotency-Key"
    b" Authorization \xff".split()
)
WORDS = st.sampled_from(
    b"0 5 -1 99999999999999999999 chunked application/json websocket 13 Upgrade,close close 100-continue"
    b" multipart/form-data multipart/form-data;boundary=x null bytes=5-1 parley_session=a.b.c x\x00y"
    b" dGhlIHNhbXBsZSBub25jZQ==".split()
)
LINES = st.tuples(NAMES, WORDS | st.binary(max_size=20)).map(lambda pair: b"%s: %s\r\n" % pair)
BODIES = st.one_of(
    st.sampled_from([b"", b"{}", b"[" * 20, b"0\r\n\r\n", b"2\r\n{}\r\n0\r\n\r\n", b"--x\r\n\r\n--x--\r\n"]),
    st.binary(max_size=20),
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return what begins like a request, and may be wrong in some of its parts."""
    wrong = draw(
        st.sets(st.sampled_from(["method", "target", "version", "known", "lines", "body"]), max_size=3)
    )
    method = draw(METHODS if "method" in wrong else st.sampled_from([b"GET", b"POST", b"OPTIONS"]))
    target = draw(TARGETS if "target" in wrong else st.sampled_from([b"/livez", b"/ws", b"/api/users/me"]))
    version = draw(VERSIONS) if "version" in wrong else b"HTTP/1.1"
    body = draw(BODIES) if "body" in wrong else b""
    lines = [b"Content-Length: %d\r\n" % len(body)] if body and draw(st.booleans()) else []
    lines += draw(st.lists(LINES, max_size=4)) if "lines" in wrong else []
    known = b"" if "known" in wrong else KEYED
    return b"%s %s %s\r\n%s%s\r\n%s" % (method, target, version, known, b"".join(lines), body)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[EdgeServer]:
    bus = MemoryBus()
    async with listening_edge(bus, tmp_path, gateway_headers_s=SHORT_S) as server:
        yield server
    await bus.close()


@pytest.fixture(scope="module")
def cases() -> Generator[Counter[str]]:
    """How often a client has asked, and what it was told; printed at the end."""
    counts: Counter[str] = Counter()
    yield counts
    print(f"\n{counts.pop('asked')} cases of HTTP requests, answered {dict(sorted(counts.items()))}")  # noqa: T201 - what was covered


async def answers_to(server: EdgeServer, said: bytes, *, within_s: float) -> bytes:
    """Return what the server answers until it closes; what waits for more is left."""
    heard = b""
    async with connected(port_of(server)) as client:
        try:
            async with asyncio.timeout(within_s):
                await client.say(said)
                while piece := await client.reader.read(65_536):
                    heard += piece
        except (ConnectionError, TimeoutError):
            pass
    return heard


@FUZZ
@given(
    said=st.one_of(
        requests(), st.lists(requests(), min_size=2, max_size=3).map(b"".join), st.binary(max_size=60)
    )
)
@example(said=b"")
@example(said=b"\r\n" * 100)
@example(said=b"GET /livez HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n")
@example(
    said=b"POST /api/search HTTP/1.1\r\n"
    + KEYED
    + b"Content-Type: application/json\r\nExpect: 100-continue\r\n"
)
async def test_any_bytes_as_http_are_answered_or_cut_off_and_harm_nobody(
    server: EdgeServer, caplog: pytest.LogCaptureFixture, cases: Counter[str], said: bytes
) -> None:
    caplog.clear()
    cases["asked"] += 1
    answers = await answers_to(server, said + LAST, within_s=GIVE_UP_S)
    statuses = [int(found) for found in STATUS.findall(answers)]
    cases.update(str(status) for status in statuses)
    assert [status for status in statuses if status >= 500 and status != NOT_SPOKEN] == []
    assert (await answers_to(server, LAST, within_s=PATIENT_S)).endswith(b'{"status":"ok"}')
    await until(lambda: len(server.guard.connections) == 0)
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []
