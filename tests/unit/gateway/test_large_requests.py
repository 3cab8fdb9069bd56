"""Requests with more in them than anybody can read: refused by the first fault."""

import resource
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from parley_gateway.body_limit import INLINE_BYTES
from parley_messaging.memory_bus import MemoryBus

from tests.unit.gateway.http_edge import open_edge


@pytest.fixture
async def memory_bus() -> AsyncGenerator[MemoryBus]:
    bus = MemoryBus()
    yield bus
    await bus.close()


async def test_more_messages_than_a_conversation_has_are_refused_by_their_number(
    memory_bus: MemoryBus, tmp_path: Path
) -> None:
    one = b'{"role":"user","content":"a"},'
    body = b'{"model":"m","messages":[' + (one * ((INLINE_BYTES - 100) // len(one)))[:-1] + b"]}"
    async with open_edge(memory_bus, tmp_path) as client:
        answer = await client.post(
            "/v1/chat/completions", content=body, headers={"Content-Type": "application/json"}, timeout=None
        )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "messages"


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
@pytest.mark.parametrize("depth", ["messages", "parts"])
async def test_a_million_faults_are_told_by_the_first(
    memory_bus: MemoryBus, tmp_path: Path, path: str, depth: str
) -> None:
    field = b"messages" if path != "responses" else b"input"
    many = b"[" + b"{}," * 1_000_000 + b"{}]"
    items = many if depth == "messages" else b'[{"role":"user","content":' + many + b"}]"
    body = b'{"model":"m","' + field + b'":' + items + b"}"
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with open_edge(memory_bus, tmp_path) as client:
        answer = await client.post(
            f"/v1/{path}", content=body, headers={"Content-Type": "application/json"}, timeout=None
        )
    assert answer.status_code == 400
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 500_000


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
async def test_more_pairs_than_a_client_may_add_are_refused_by_their_number(
    memory_bus: MemoryBus, tmp_path: Path, path: str
) -> None:
    said = {"input": "Hi"} if path == "responses" else {"messages": [{"role": "user", "content": "Hi"}]}
    body = {"model": "m", **said, "metadata": dict.fromkeys(map(str, range(100_000)), 1)}
    async with open_edge(memory_bus, tmp_path) as client:
        answer = await client.post(f"/v1/{path}", json=body, timeout=None)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["message"]) == (
        400,
        "metadata",
        "metadata: may have at most 16 pairs",
    )
