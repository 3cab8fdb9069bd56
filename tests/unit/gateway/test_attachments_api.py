"""Attachments over HTTP: what may be uploaded, and who may see it."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from parley_contracts.policy import Role
from parley_gateway.principal import Principal
from parley_memory.attachment_shelf import AttachmentBounds
from parley_messaging.memory_bus import MemoryBus

from tests.fakes.data_keys import FakeDataKeys
from tests.fakes.pictures import GIF, JPEG, WEBP, png
from tests.unit.gateway.http_edge import KEY, open_edge
from tests.unit.gateway.kept_files import keeping_files
from tests.unit.gateway.known_keys import OWNER, KnownKeys

OTHER = {"Authorization": "Bearer pk_other"}
MAX_BYTES = 2000


@pytest.fixture
def keys() -> FakeDataKeys:
    return FakeDataKeys()


@pytest_asyncio.fixture
async def bus() -> AsyncGenerator[MemoryBus]:
    bus = MemoryBus()
    yield bus
    await bus.close()


@pytest_asyncio.fixture
async def client(bus: MemoryBus, keys: FakeDataKeys, tmp_path: Path) -> AsyncGenerator[httpx.AsyncClient]:
    known = KnownKeys({KEY: OWNER, "pk_other": Principal("other", Role.MEMBER)})
    bounds = AttachmentBounds(count=4, size_bytes=10**6, lasts_ms=10**6)
    async with (
        keeping_files(bus, tmp_path, keys=keys, bounds=bounds),
        open_edge(bus, tmp_path, known, gateway_max_attachment_bytes=MAX_BYTES) as client,
    ):
        yield client


async def upload(
    client: httpx.AsyncClient, name: str, data: bytes, kind: str = "", **more: dict[str, str]
) -> httpx.Response:
    return await client.post("/api/attachments", files={"file": (name, data, kind)}, **more)  # pyright: ignore[reportArgumentType] - headers


@pytest.mark.parametrize(
    ("name", "data", "declared", "found"),
    [
        ("a.png", png(), "image/png", "image/png"),
        ("a.txt", JPEG, "text/plain", "image/jpeg"),
        ("a.bin", WEBP, "", "image/webp"),
        ("a.gif", GIF, "image/gif", "image/gif"),
        ("notes.md", b"# Notes", "image/png", "text/markdown"),
        ("t.csv", b"a;b\n1;2\n", "", "text/csv"),
        ("page.html", b"<script>x</script>", "text/html", "text/plain"),
        ("picture.png", "für Ada".encode(), "image/png", "text/plain"),
    ],
)
async def test_the_kind_of_a_file_is_told_by_its_content(
    client: httpx.AsyncClient, name: str, data: bytes, declared: str, found: str
) -> None:
    response = await upload(client, name, data, declared)
    assert response.status_code == 201, response.text
    told = response.json()["attachment"]
    assert (told["name"], told["content_type"], told["size_bytes"]) == (name, found, len(data))
    assert "object_id" not in told
    content = await client.get(f"/api/attachments/{told['id']}/content")
    assert content.content == data
    assert content.headers["content-type"].partition(";")[0] == found
    assert content.headers["content-disposition"].startswith("attachment")
    assert content.headers["content-security-policy"] == "sandbox"


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.pdf", b"%PDF-1.7\n\xff\xfe", (415, "unsupported_type")),
        ("a.svgz", b"\x1f\x8b\x08\x00", (415, "unsupported_type")),
        ("a.txt", b"one\0two", (415, "unsupported_type")),
        ("latin.txt", "für".encode("latin-1"), (415, "unsupported_type")),
        ("a.txt", b"", (400, "invalid_request")),
        ("a.txt", b"x" * (MAX_BYTES + 1), (413, "too_large")),
        ("../a.txt", b"x", (400, "invalid_request")),
    ],
    ids=["pdf", "gzip", "nul", "latin-1", "empty", "large", "name"],
)
async def test_what_no_model_is_given_is_refused_and_nothing_is_kept(
    client: httpx.AsyncClient, bus: MemoryBus, name: str, data: bytes, told: tuple[int, str]
) -> None:
    response = await upload(client, name, data)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["field"]) == (*told, "file")
    assert bus.objects.kept == {}
    assert (await client.get("/api/attachments")).json()["attachments"] == []


async def test_a_body_larger_than_any_attachment_is_not_read(client: httpx.AsyncClient) -> None:
    response = await upload(client, "a.txt", b"x" * 200_000)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")
    response = await client.post("/api/attachments", json={"file": "x"})
    assert response.status_code == 415


async def test_what_is_kept_is_sealed_and_once(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    first = (await upload(client, "n.txt", b"a secret of hers")).json()["attachment"]
    again = (await upload(client, "n.txt", b"a secret of hers")).json()["attachment"]
    assert again["id"] == first["id"]
    ((key, kept),) = bus.objects.kept.items()
    assert key.startswith(f"{OWNER.owner_id}/")
    assert key.endswith("/sealed")
    assert b"secret" not in kept
    assert first["sha256"] not in key


async def test_anothers_attachment_is_answered_as_one_that_is_not_there(client: httpx.AsyncClient) -> None:
    mine = (await upload(client, "n.txt", b"mine")).json()["attachment"]["id"]
    assert (await client.get("/api/attachments", headers=OTHER)).json()["attachments"] == []
    for path in ("", "/content"):
        for method in ("GET", "DELETE") if not path else ("GET",):
            told = [
                await client.request(method, f"/api/attachments/{one}{path}", headers=OTHER)
                for one in (mine, "0" * 32, "x" * 500)
            ]
            bodies = [one.json()["error"] | {"request_id": ""} for one in told]
            assert bodies == [bodies[0]] * 3
            assert (bodies[0]["code"], told[0].status_code) == ("not_found", 404)
    assert (await client.get(f"/api/attachments/{mine}")).status_code == 200


async def test_an_attachment_is_deleted_for_good(client: httpx.AsyncClient) -> None:
    made = (await upload(client, "n.txt", b"mine")).json()["attachment"]["id"]
    assert (await client.delete(f"/api/attachments/{made}")).status_code == 200
    assert (await client.get(f"/api/attachments/{made}/content")).status_code == 404
    assert (await client.delete(f"/api/attachments/{made}")).status_code == 404


async def test_nothing_is_written_while_no_key_is_known_to_seal_by(
    client: httpx.AsyncClient, bus: MemoryBus, keys: FakeDataKeys
) -> None:
    keys.is_away = True
    response = await upload(client, "n.txt", b"mine")
    assert (response.status_code, response.json()["error"]["code"]) == (503, "unavailable")
    assert bus.objects.kept == {}


async def test_an_owner_may_not_fill_the_store(client: httpx.AsyncClient) -> None:
    for number in range(4):
        assert (await upload(client, f"{number}.txt", b"x")).status_code == 201
    response = await upload(client, "more.txt", b"x")
    assert (response.status_code, response.json()["error"]["code"]) == (429, "quota_exceeded")
