"""Whatever a client sends on a WebSocket: nothing is logged as an error, and the next client is served."""

import asyncio
import json
import logging
import os
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from parley_gateway.server import EdgeServer
from parley_messaging.memory_bus import MemoryBus

from tests.unit.gateway.http_edge import listening_edge, port_of, until
from tests.unit.gateway.raw_client import CLOSE, TEXT, RawClient, connected, frame

CASES = int(os.environ.get("PARLEY_FUZZ_CASES", "60"))
FUZZ = settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=CASES < 1000,
)

WORDS = st.sampled_from(
    [
        "start_turn",
        "cancel_turn",
        "resume_turn",
        "ping",
        "t1",
        "",
        "\x00",
        "\ud800",
        "x" * 200,
        "default",
        "é",
    ]
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.text(max_size=20), st.just(2**63)
)
NAMES = WORDS | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
FIELDS = ("turn_id", "conversation_id", "text", "collections", "web", "model", "params", "after_seq", "extra")
FRAMES = st.fixed_dictionaries({"type": WORDS}, optional=dict.fromkeys(FIELDS, VALUES))
JSON_FRAMES = st.one_of(FRAMES, VALUES).map(lambda value: frame(TEXT, json.dumps(value).encode()))


@st.composite
def wire_frames(draw: st.DrawFn) -> bytes:
    """Return a frame that may be wrong in each of its parts (RFC 6455, section 5.2)."""
    payload = draw(st.binary(max_size=200))
    told = draw(st.one_of(st.just(len(payload)), st.integers(0, 127), st.sampled_from([126, 127])))
    length = bytes([(0x80 if draw(st.integers(0, 9)) else 0) | min(told, 127)])
    if told == 126:
        length += draw(st.sampled_from([len(payload), 0, 65_535])).to_bytes(2, "big")
    elif told == 127:
        length += draw(st.sampled_from([len(payload), 0, 2**20 + 1, 2**63, 2**64 - 1])).to_bytes(8, "big")
    return bytes([draw(st.integers(0, 255))]) + length + draw(st.binary(min_size=4, max_size=4)) + payload


@pytest.fixture(scope="module")
def cases() -> Generator[Counter[str]]:
    """How often a client has said something of each kind; printed at the end."""
    counts: Counter[str] = Counter()
    yield counts
    print(f"\n{sum(counts.values())} cases of WebSocket frames: {dict(counts)}")  # noqa: T201 - what was covered


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[EdgeServer]:
    bus = MemoryBus()
    async with listening_edge(bus, tmp_path) as server:
        yield server
    await bus.close()


async def hear_out(client: RawClient) -> list[Any]:
    """Return what the server says until it closes or has answered a ping that came last."""
    heard: list[Any] = []
    try:
        await client.say(frame(TEXT, b'{"type":"ping"}'))
        while True:
            opcode, payload = await client.frame()
            if opcode == CLOSE:
                return heard
            if opcode == TEXT:
                heard.append(json.loads(payload))
                if heard[-1]["type"] == "pong":
                    return heard
    except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
        return heard


async def is_well(server: EdgeServer, caplog: pytest.LogCaptureFixture) -> None:
    async with connected(port_of(server)) as client:
        await client.open_socket()
        assert (await hear_out(client))[-1]["type"] == "pong"
    await until(lambda: len(server.guard.connections) == 0)
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


@FUZZ
@given(frames=st.lists(JSON_FRAMES, min_size=1, max_size=5))
@example(frames=[frame(TEXT, b"[" * 100_000)])
@example(frames=[frame(TEXT, b'{"type":' * 50_000)])
@example(frames=[frame(TEXT, b'{"type":"start_turn","text":"x","params":{"seed":' + b"9" * 5_000 + b"}}")])
@example(frames=[frame(TEXT, b'{"type":"resume_turn","turn_id":"\\ud800"}'), frame(TEXT, b"[]")])
@example(frames=[frame(TEXT, b'{"type":"resume_turn","turn_id":"t","after_seq":99999999999999999999}')])
async def test_any_json_is_answered_and_harms_nobody(
    server: EdgeServer, caplog: pytest.LogCaptureFixture, cases: Counter[str], frames: list[bytes]
) -> None:
    caplog.clear()
    cases["json"] += 1
    async with connected(port_of(server)) as client:
        await client.open_socket()
        for one in frames:
            await client.say(one)
        assert (await hear_out(client))[-1]["type"] == "pong"
    await is_well(server, caplog)


@FUZZ
@given(frames=st.lists(wire_frames(), min_size=1, max_size=6))
@example(frames=[frame(CLOSE, b"\x00")])
@example(frames=[frame(CLOSE, (999).to_bytes(2, "big") + b"\xff\xfe")])
@example(frames=[frame(TEXT, b"\xff\xfe\xfd")])
@example(frames=[frame(TEXT, "é".encode()[:1], is_last=False), frame(0, b"")])
@example(frames=[frame(0, b"nothing to go on with")])
@example(frames=[frame(TEXT, b"a", is_last=False), frame(TEXT, b"b")])
@example(frames=[frame(0x9, b"x" * 126)])
@example(frames=[frame(0x9, b"x", is_last=False)])
async def test_any_bytes_on_the_wire_harm_nobody(
    server: EdgeServer, caplog: pytest.LogCaptureFixture, cases: Counter[str], frames: list[bytes]
) -> None:
    caplog.clear()
    cases["bytes"] += 1
    async with connected(port_of(server)) as client:
        await client.open_socket()
        for one in frames:
            await client.say(one)
        client.writer.write_eof()
        await client.rest()
    await is_well(server, caplog)
