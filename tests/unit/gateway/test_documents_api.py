"""Documents, collections and search over HTTP: what is asked of rag."""

import hashlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import httpx
import pytest
import pytest_asyncio
from parley_contracts.rag import (
    CancelDocument,
    CreateDocument,
    IngestDocument,
    ListDocuments,
    ReindexDocument,
)
from parley_gateway import documents_api
from parley_messaging import queues
from parley_messaging.memory_bus import MemoryBus

from tests.fakes.data_keys import originals_on
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


def last(rag: Rag) -> dict[str, Any]:
    return rag.asked[-1].model_dump(mode="json", exclude_none=True, exclude_defaults=True)


async def opened(bus: MemoryBus, content: bytes) -> bytes:
    """Return what is stored of the one document, as any other process opens it."""
    assert list(bus.objects.kept) == [f"{OWNER_ID}/d1/sealed"]
    known_by = hashlib.sha256(content).hexdigest()
    return await originals_on(bus).get(OWNER_ID, "d1", known_by, is_sealed=True)


# -- documents -------------------------------------------------------------------------------------


async def test_an_upload_is_kept_piece_by_piece_with_its_hash(
    client: httpx.AsyncClient, rag: Rag, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = AsyncMock(side_effect=bus.objects.put)
    monkeypatch.setattr(bus.objects, "put", put)
    content = b"pump" * documents_api.PIECE_BYTES
    response = await client.post("/api/documents", files={"file": ("pump.txt", content, "text/plain")})
    assert response.status_code == 202
    assert last(rag) == {
        "owner_id": OWNER_ID,
        "name": "pump.txt",
        "content_type": "text/plain",
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "is_sealed": True,
    }
    assert not isinstance(put.call_args.args[1], bytes)
    assert await opened(bus, content) == content
    assert b"pumppump" not in bus.objects.kept[f"{OWNER_ID}/d1/sealed"]


@pytest.mark.parametrize(
    "declared", [b"text/html\nSet-Cookie: a=b", b"text/\xc3\xbc", b"a\x00b", b"x" * 300, b""]
)
async def test_a_media_type_that_could_not_stand_in_a_header_is_not_believed(
    client: httpx.AsyncClient, rag: Rag, declared: bytes
) -> None:
    disposition = b'Content-Disposition: form-data; name="file"; filename="a.txt"'
    body = b"--B\r\n%s\r\nContent-Type: %s\r\n\r\nabc\r\n--B--\r\n" % (disposition, declared)
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    assert (await client.post("/api/documents", content=body, headers=headers)).status_code == 202
    assert isinstance(rag.asked[-1], CreateDocument)
    assert rag.asked[-1].content_type == "application/octet-stream"


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
        "is_sealed": True,
    }
    assert await opened(bus, b"The page says so.") == b"The page says so."
    assert b"The page" not in bus.objects.kept[f"{OWNER_ID}/d1/sealed"]
    delivered = await (await bus.open_jobs(queues.INGEST)).fetch(1)
    assert delivered is not None
    assert IngestDocument.model_validate_json(delivered.data).document_id == "d1"


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("http://10.0.0.1/", 403, ""),
        ("file:///etc/passwd", 400, "url: has to begin with http:// or https://"),
        ("", 400, "url: must not be empty"),
    ],
)
async def test_an_address_that_is_not_read_is_refused_by_its_field(
    client: httpx.AsyncClient, url: str, status: int, said: str
) -> None:
    response = await client.post("/api/documents/url", json={"url": url})
    error = response.json()["error"]
    assert (response.status_code, error["field"]) == (status, "url")
    assert error["message"] == said or not said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a\x1b[2Jb.txt", "Its name holds control characters."),
        ("a\x7f.txt", "Its name holds control characters."),
        ("gpj.\u202etxt", "Its name holds control characters."),
        ("../../etc/passwd", "Its name leads out of its folder."),
        ("/etc/passwd", "Its name is an absolute path."),
        ("x" * 501, "Its name is longer than 500 characters."),
    ],
)
async def test_an_upload_by_a_name_that_no_file_may_have_is_refused_with_its_reason(
    client: httpx.AsyncClient, rag: Rag, name: str, said: str
) -> None:
    head = b'--B\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n' % name.encode()
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    response = await client.post("/api/documents", content=head + b"abc\r\n--B--\r\n", headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["field"], error["message"]) == (400, "file", said)
    assert not rag.asked


async def test_a_collection_by_a_name_that_is_none_is_refused_in_words(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/collections", json={"name": "a/b"})
    said = "name: may hold no slashes and no control characters"
    assert response.json()["error"]["message"] == said
    response = await client.post("/api/collections", json={"language": "german"})
    assert response.json()["error"]["message"] == "name: is missing"


async def test_filters_of_a_list_are_passed_on(client: httpx.AsyncClient, rag: Rag) -> None:
    query = (
        "collection=a&collection=b&status=ready&status=failed&type=text/html&name=pump&archive=a1"
        "&dated_from=2020-03-02&dated_before=2020-03-02T01:00:00%2B01:00&limit=5&cursor=1.x"
    )
    assert (await client.get(f"/api/documents?{query}")).status_code == 200
    assert isinstance(rag.asked[-1], ListDocuments)
    assert rag.asked[-1].model_dump(mode="json", exclude={"type"}) == {
        "owner_id": OWNER_ID,
        "collection": None,
        "collections": ["a", "b"],
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
        ("/api/documents?colection=a", "colection"),
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
    await originals_on(bus).put(OWNER_ID, "d1", DOCUMENT.sha256, b"<script>")
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
    for field, value in (
        ("colection", "a"),
        ("mode", "best"),
        ("max_per_document", 0),
        ("dated_from", "soon"),
        ("query", " "),
    ):
        refused = await client.post("/api/search", json={"query": "pump", field: value})
        assert (refused.status_code, refused.json()["error"]["field"]) == (400, field)


@pytest.mark.parametrize(("field", "value"), [("collection", "nowhere"), ("collections", ["a", "nowhere"])])
async def test_a_search_in_a_collection_that_is_not_there_is_refused_by_its_field(
    client: httpx.AsyncClient, field: str, value: object
) -> None:
    error = (await client.post("/api/search", json={"query": "pump", field: value})).json()["error"]
    assert (error["code"], error["field"]) == ("not_found", field)
    assert error["message"] == "There is no collection 'nowhere'."


async def test_text_that_is_no_unicode_is_the_clients_fault(client: httpx.AsyncClient) -> None:
    for field in ("document_ids", "types"):
        body = b'{"query": "pump", "%s": ["\\ud800"]}' % field.encode()
        response = await client.post(
            "/api/search", content=body, headers={"Content-Type": "application/json"}
        )
        assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")
