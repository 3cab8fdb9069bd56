"""Documents, collections and search over HTTP: what is asked of rag, and what a watcher hears."""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from parley_contracts import subjects
from parley_contracts.browser import PageText, ReadPage
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.model import OwnedRequest
from parley_contracts.rag import (
    CancelDocument,
    Collection,
    CollectionReindexed,
    CollectionStatistics,
    CreateCollection,
    CreateDocument,
    Document,
    DocumentChanged,
    DocumentCreated,
    DocumentList,
    DocumentStatus,
    IngestDocument,
    ListDocuments,
    ReadCollection,
    ReadDocument,
    ReindexCollection,
    ReindexDocument,
    Search,
    SearchResults,
)
from parley_gateway import document_events, sockets
from parley_messaging import queues
from parley_messaging.memory_bus import MemoryBus

from tests.integration.waiting import eventually
from tests.unit.gateway.http_edge import OWNER_ID, open_edge

DOCUMENT = Document(
    id="d1",
    name="box.zip/über den Tag.html",
    collection="default",
    content_type="text/html",
    size_bytes=3,
    sha256="0" * 64,
    status=DocumentStatus.QUEUED,
    created_at_ms=1,
)
COLLECTION = Collection(name="default", documents=1, chunks=2, created_at_ms=1)


class Rag:
    """One document of the owner's, and what was asked."""

    def __init__(self, bus: MemoryBus) -> None:
        self.asked: list[OwnedRequest] = []
        self.document = DOCUMENT
        self._bus = bus
        self._answer(subjects.RAG_CREATE_DOCUMENT, CreateDocument)
        self._answer(subjects.RAG_READ_DOCUMENT, ReadDocument)
        self._answer(subjects.RAG_LIST_DOCUMENTS, ListDocuments)
        self._answer(subjects.RAG_CANCEL_DOCUMENT, CancelDocument)
        self._answer(subjects.RAG_REINDEX_DOCUMENT, ReindexDocument)
        self._answer(subjects.RAG_READ_COLLECTION, ReadCollection)
        self._answer(subjects.RAG_REINDEX_COLLECTION, ReindexCollection)
        self._answer(subjects.RAG_CREATE_COLLECTION, CreateCollection)
        self._answer(subjects.RAG_SEARCH, Search)
        self._answer(subjects.BROWSER_READ, ReadPage)

    def _answer(self, subject: str, request_type: Any) -> None:
        self._bus.answer(subject, request_type, self._take)

    async def _take(self, request: Any) -> Any:  # noqa: PLR0911 - one answer for each request
        self.asked.append(request)
        match request:
            case CreateDocument():
                return DocumentCreated(document=self.document, needs_content=True)
            case ReadDocument(document_id=document_id) if document_id != self.document.id:
                raise ParleyError(ErrorCode.NOT_FOUND, "There is no such document.", field="document_id")
            case ListDocuments():
                return DocumentList(documents=(self.document,))
            case ReadCollection():
                return CollectionStatistics(
                    collection=COLLECTION,
                    documents_by_status={"ready": 1},
                    documents_by_language={"de": 1},
                    chunks=2,
                    chunks_done=2,
                    size_bytes=3,
                )
            case ReindexCollection():
                return CollectionReindexed(documents=7)
            case CreateCollection():
                return COLLECTION
            case Search():
                return SearchResults(results=())
            case ReadPage(url="http://10.0.0.1/"):
                raise ParleyError(ErrorCode.REFUSED_ADDRESS, "That address is not a public one.")
            case ReadPage():
                return PageText(url="https://example.org/a.html", title="A  page", text="The page says so.")
            case _:
                return self.document

    async def change(self, **values: object) -> None:
        self.document = self.document.model_copy(update=values)
        data = DocumentChanged(document=self.document).model_dump_json().encode()
        await self._bus.publish(subjects.ingest_events(self.document.id), data)


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


def last(rag: Rag) -> dict[str, Any]:
    return rag.asked[-1].model_dump(mode="json", exclude_none=True, exclude_defaults=True)


def heard(response: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    events: list[tuple[str, dict[str, Any]]] = []
    for block in response.text.split("\n\n"):
        if block and not block.startswith(":"):
            name, data = block.split("\n")
            events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


# -- following -------------------------------------------------------------------------------------


async def test_a_watcher_hears_how_the_document_stands_and_then_every_change_to_the_end(
    client: httpx.AsyncClient, rag: Rag
) -> None:
    async def has_been_read(times: int) -> bool:
        return sum(isinstance(one, ReadDocument) for one in rag.asked) >= times

    watching = asyncio.create_task(client.get("/api/documents/d1/events"))
    await eventually(lambda: has_been_read(2))
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
    await eventually(lambda: _is_asked(rag, 2))
    await rag.change(is_reindexing=False)
    assert [body["is_reindexing"] for _, body in heard(await watching)] == [True, False]


async def _is_asked(rag: Rag, times: int) -> bool:
    return len(rag.asked) >= times


async def test_an_event_that_was_missed_is_made_up_for(
    client: httpx.AsyncClient, rag: Rag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_events, "SILENCE_S", 0.02)
    monkeypatch.setattr(document_events, "STEP_S", 0.01)
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
    monkeypatch.setattr(document_events, "STEP_S", 0.01)
    watching = asyncio.create_task(client.get("/api/documents/d1/events"))
    await eventually(lambda: _is_asked(rag, 2))
    rag.document = DOCUMENT.model_copy(update={"id": "another"})
    assert heard(await watching)[-1][1]["code"] == "not_found"


async def test_a_document_that_is_not_yours_cannot_be_watched_nor_more_than_can_be_served(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await client.get("/api/documents/other/events")).status_code == 404
    monkeypatch.setattr(sockets, "MOST_WATCHING", 0)
    response = await client.get("/api/documents/d1/events")
    assert (response.status_code, response.json()["error"]["code"]) == (429, "overloaded")


# -- documents -------------------------------------------------------------------------------------


async def test_a_page_of_the_web_becomes_a_document_named_by_its_address(
    client: httpx.AsyncClient, rag: Rag, bus: MemoryBus
) -> None:
    response = await client.post(
        "/api/documents/url", json={"url": "https://example.org/", "collection": "web"}
    )
    assert response.status_code == 202
    assert last(rag) == {
        "owner_id": OWNER_ID,
        "collection": "web",
        "name": "https://example.org/a.html",
        "content_type": "text/plain",
        "size_bytes": 17,
        "sha256": hashlib.sha256(b"The page says so.").hexdigest(),
        "title": "A page",
        "source_url": "https://example.org/a.html",
    }
    assert bus.objects.kept == {f"{OWNER_ID}/d1": b"The page says so."}
    delivered = await (await bus.open_jobs(queues.INGEST)).fetch(1)
    assert delivered is not None
    assert IngestDocument.model_validate_json(delivered.data).document_id == "d1"


@pytest.mark.parametrize(
    ("url", "status"), [("http://10.0.0.1/", 403), ("file:///etc/passwd", 400), ("", 400)]
)
async def test_an_address_that_is_not_read_is_refused_by_its_field(
    client: httpx.AsyncClient, url: str, status: int
) -> None:
    response = await client.post("/api/documents/url", json={"url": url})
    assert (response.status_code, response.json()["error"]["field"]) == (status, "url")


async def test_filters_of_a_list_are_passed_on(client: httpx.AsyncClient, rag: Rag) -> None:
    query = (
        "collection=default&status=ready&status=failed&type=text/html&name=pump&archive=a1"
        "&dated_from=2020-03-02&dated_before=2020-03-02T01:00:00%2B01:00&limit=5&cursor=1.x"
    )
    assert (await client.get(f"/api/documents?{query}")).status_code == 200
    assert isinstance(rag.asked[-1], ListDocuments)
    assert rag.asked[-1].model_dump(mode="json", exclude={"type"}) == {
        "owner_id": OWNER_ID,
        "collection": "default",
        "statuses": ["ready", "failed"],
        "content_types": ["text/html"],
        "name_part": "pump",
        "archive_id": "a1",
        "dated_from_ms": 1_583_107_200_000,
        "dated_before_ms": 1_583_107_200_000,
        "limit": 5,
        "cursor": "1.x",
    }


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/documents?status=done", "status.0"),
        ("/api/documents?dated_from=yesterday", "dated_from"),
        ("/api/documents?name=", "name"),
        ("/api/collections?limit=0", "limit"),
    ],
)
async def test_a_filter_that_cannot_be_understood_is_named(
    client: httpx.AsyncClient, path: str, field: str
) -> None:
    response = await client.get(path)
    assert (response.status_code, response.json()["error"]["field"]) == (400, field)


async def test_an_original_is_given_as_a_file_that_no_browser_runs(
    client: httpx.AsyncClient, bus: MemoryBus
) -> None:
    await bus.objects.put(f"{OWNER_ID}/d1", b"<script>")
    response = await client.get("/api/documents/d1/original")
    assert response.content == b"<script>"
    assert (
        response.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%BCber%20den%20Tag.html"
    )
    assert response.headers["content-security-policy"] == "sandbox"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert (await client.get("/api/documents/other/original")).status_code == 404


async def test_documents_and_collections_are_cancelled_and_read_again(
    client: httpx.AsyncClient, rag: Rag
) -> None:
    assert (await client.post("/api/documents/d1/cancel")).json()["document"]["id"] == "d1"
    assert isinstance(rag.asked[-1], CancelDocument)
    assert (await client.post("/api/documents/d1/reindex")).status_code == 202
    assert isinstance(rag.asked[-1], ReindexDocument)
    assert (await client.post("/api/collections/default/reindex")).json()["documents"] == 7
    found = (await client.get("/api/collections/default")).json()
    assert (found["collection"]["name"], found["documents_by_language"]) == ("default", {"de": 1})


# -- collections and search ------------------------------------------------------------------------


async def test_a_collection_is_made_in_a_language(client: httpx.AsyncClient, rag: Rag) -> None:
    made = await client.post("/api/collections", json={"name": "bücher", "language": "german"})
    assert made.status_code == 201
    assert last(rag) == {"owner_id": OWNER_ID, "name": "bücher", "language": "german"}
    refused = await client.post("/api/collections", json={"name": "x", "language": "klingon"})
    assert refused.json()["error"]["field"] == "language"


async def test_what_narrows_a_search_is_passed_on(client: httpx.AsyncClient, rag: Rag) -> None:
    body = {
        "query": "pump",
        "collection": "a",
        "collections": ["b"],
        "document_ids": ["d1"],
        "types": ["application/pdf"],
        "dated_from": "2020-03-02",
        "dated_before": "2020-03-03",
        "mode": "words",
        "max_per_document": 2,
        "limit": 3,
    }
    assert (await client.post("/api/search", json=body)).json() == {"results": [], "degraded": []}
    assert last(rag) == {
        "owner_id": OWNER_ID,
        "query": "pump",
        "collections": ["a", "b"],
        "document_ids": ["d1"],
        "content_types": ["application/pdf"],
        "dated_from_ms": 1_583_107_200_000,
        "dated_before_ms": 1_583_193_600_000,
        "mode": "words",
        "max_per_document": 2,
        "limit": 3,
    }
    for field, value in (("mode", "best"), ("max_per_document", 0), ("dated_from", "soon")):
        refused = await client.post("/api/search", json={"query": "pump", field: value})
        assert (refused.status_code, refused.json()["error"]["field"]) == (400, field)
