"""What a watcher of a document hears: how it stands, then every change, to the end."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from parley_contracts.errors import ParleyError
from parley_contracts.rag import DocumentStatus
from parley_gateway import document_events, sockets
from parley_gateway.document_events import DocumentEvents
from parley_messaging.memory_bus import MemoryBus

from tests.integration.waiting import eventually
from tests.unit.gateway.http_edge import OWNER_ID, open_edge
from tests.unit.gateway.scripted_rag import DOCUMENT, Rag


@pytest_asyncio.fixture
async def bus() -> AsyncGenerator[MemoryBus]:
    bus = MemoryBus()
    yield bus
    await bus.close()


@pytest.fixture
def rag(bus: MemoryBus) -> Rag:
    return Rag(bus)


@pytest_asyncio.fixture
async def client(bus: MemoryBus, rag: Rag, tmp_path: Path) -> AsyncGenerator[httpx.AsyncClient]:
    async with open_edge(bus, tmp_path) as client:
        yield client


def heard(response: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    events: list[tuple[str, dict[str, Any]]] = []
    for block in response.text.split("\n\n"):
        if block and not block.startswith(":"):
            name, data = block.split("\n")
            events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


async def test_a_watcher_hears_how_the_document_stands_and_then_every_change_to_the_end(
    client: httpx.AsyncClient, rag: Rag
) -> None:
    watching = asyncio.create_task(client.get("/api/documents/d1/events"))
    await _until_told(rag)
    for done in (0, 32):
        await rag.change(status=DocumentStatus.INGESTING, chunks=40, chunks_done=done)
        for _ in range(5):  # the stream takes each before the next comes
            await asyncio.sleep(0)
    await rag.change(status=DocumentStatus.READY, chunks_done=40)
    response = await watching
    assert response.headers["content-type"].startswith("text/event-stream")
    events = heard(response)
    assert {name for name, _ in events} == {"document"}
    assert [(body["status"], body["chunks_done"]) for _, body in events] == [
        ("queued", 0),
        ("ingesting", 0),
        ("ingesting", 32),
        ("ready", 40),
    ]


@pytest.mark.parametrize("status", ["ready", "failed", "cancelled"])
async def test_a_document_that_is_through_is_told_once(
    client: httpx.AsyncClient, rag: Rag, status: str
) -> None:
    rag.document = DOCUMENT.model_copy(update={"status": DocumentStatus(status)})
    events = heard(await client.get("/api/documents/d1/events"))
    assert [body["status"] for _, body in events] == [status]


async def test_a_document_that_is_read_again_is_followed_to_the_end_of_that(
    client: httpx.AsyncClient, rag: Rag
) -> None:
    rag.document = DOCUMENT.model_copy(update={"status": DocumentStatus.READY, "is_reindexing": True})
    watching = asyncio.create_task(client.get("/api/documents/d1/events"))
    await _until_told(rag)
    await rag.change(is_reindexing=False)
    assert [body["is_reindexing"] for _, body in heard(await watching)] == [True, False]


async def _is_asked(rag: Rag, times: int) -> bool:
    return len(rag.asked) >= times


async def _until_told(rag: Rag) -> None:
    """Wait until a watcher has been told how the document stands."""
    await eventually(lambda: _is_asked(rag, 1))
    for _ in range(20):  # rag's answer and the first event pass through the loop
        await asyncio.sleep(0)


async def test_an_event_that_was_missed_is_made_up_for(
    client: httpx.AsyncClient, rag: Rag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_events, "SILENCE_S", 0.02)
    watching = asyncio.create_task(client.get("/api/documents/d1/events"))
    await eventually(lambda: _is_asked(rag, 4))
    rag.document = DOCUMENT.model_copy(update={"status": DocumentStatus.READY})
    response = await watching
    assert [body["status"] for _, body in heard(response)] == ["queued", "ready"]
    assert ": nothing new" in response.text


async def test_a_document_that_is_removed_while_it_is_watched_ends_the_stream_with_an_error(
    client: httpx.AsyncClient, rag: Rag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_events, "SILENCE_S", 0.02)
    watching = asyncio.create_task(client.get("/api/documents/d1/events"))
    await _until_told(rag)
    rag.document = DOCUMENT.model_copy(update={"id": "another"})
    assert heard(await watching)[-1][1]["code"] == "not_found"


async def test_a_document_that_is_not_yours_cannot_be_watched_nor_more_than_can_be_served(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for document_id in ("other", "*", "%3E", "a.b"):
        assert (await client.get(f"/api/documents/{document_id}/events")).status_code == 404
    monkeypatch.setattr(sockets, "MOST_WATCHING", 0)
    response = await client.get("/api/documents/d1/events")
    assert (response.status_code, response.json()["error"]["code"]) == (429, "overloaded")


async def test_a_gateway_that_stops_ends_what_watches_documents_and_takes_no_more(
    bus: MemoryBus, rag: Rag
) -> None:
    watched, served = DocumentEvents(bus, OWNER_ID, rag.document.id), sockets.Sockets()
    await bus.start()
    await watched.open()
    with served.watching(watched.end):
        lines = watched.events()
        assert b"queued" in await anext(lines)
        await served.finish()
        async with asyncio.timeout(document_events.SILENCE_S / 2):
            assert [line async for line in lines] == []
    with pytest.raises(ParleyError, match="is stopping"), served.watching(watched.end):
        pass
