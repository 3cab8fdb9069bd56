"""An original is given whole or in part as long as it opens; without keys all is refused and nothing kept."""

import hashlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from parley_contracts import subjects
from parley_contracts.data_keys import ReadDataKey
from parley_contracts.rag import CreateDocument, original_key, sealed_key
from parley_envelope.segments import SEGMENT_BYTES
from parley_gateway.original_download import Span, UnsatisfiableRangeError, read_range
from parley_messaging.memory_bus import MemoryBus

from tests.fakes.data_keys import FakeDataKeys, originals_on
from tests.unit.gateway.http_edge import OWNER_ID, open_edge
from tests.unit.gateway.scripted_rag import Rag

CONTENT = os.urandom(5 * SEGMENT_BYTES + 99)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PATH = "/api/documents/d1/original"
KEY = sealed_key(OWNER_ID, "d1")
ENTITY_TAG = f'"{SHA256}"'


class Stored:
    """One original that a gateway gives out."""

    def __init__(self, bus: MemoryBus, rag: Rag, keys: FakeDataKeys, client: httpx.AsyncClient) -> None:
        self.bus = bus
        self.rag = rag
        self.keys = keys
        self.client = client

    async def get(self, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.get(PATH, headers=named)


@pytest_asyncio.fixture
async def stored(tmp_path: Path) -> AsyncGenerator[Stored]:
    bus = MemoryBus()
    rag = Rag(bus)
    async with open_edge(bus, tmp_path) as client:
        keys = FakeDataKeys()
        bus.answer(subjects.ACCOUNTS_READ_DATA_KEY, ReadDataKey, keys.tell)
        rag.document = rag.document.model_copy(update={"sha256": SHA256, "size_bytes": len(CONTENT)})
        await originals_on(bus).put(OWNER_ID, "d1", SHA256, CONTENT)
        yield Stored(bus, rag, keys, client)
    await bus.close()


async def test_the_whole_original_is_told_by_the_length_and_hash_of_the_file_itself(stored: Stored) -> None:
    response = await stored.get()
    assert (response.status_code, response.content) == (200, CONTENT)
    assert response.headers["content-length"] == str(len(CONTENT))
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["etag"] == ENTITY_TAG


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, len(CONTENT)),
        (f"bytes={SEGMENT_BYTES - 1}-{SEGMENT_BYTES}", SEGMENT_BYTES - 1, SEGMENT_BYTES + 1),
        (f"bytes={3 * SEGMENT_BYTES}-", 3 * SEGMENT_BYTES, len(CONTENT)),
        ("bytes=-100", len(CONTENT) - 100, len(CONTENT)),
        ("bytes=-999999999", 0, len(CONTENT)),
        ("bytes=5-999999999", 5, len(CONTENT)),
    ],
)
async def test_a_range_is_given_as_that_range(stored: Stored, wanted: str, start: int, stop: int) -> None:
    response = await stored.get(Range=wanted)
    assert (response.status_code, response.content) == (206, CONTENT[start:stop])
    assert response.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(CONTENT)}"
    assert response.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize(
    "wanted", ["bytes=9-1", "bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=a-b", "bytes=\u0661-", ""]
)
async def test_what_is_no_single_range_is_answered_whole(stored: Stored, wanted: str) -> None:
    assert (await stored.get(Range=wanted.encode("ascii", "replace").decode())).status_code == 200
    assert read_range(wanted, 10) is None


@pytest.mark.parametrize("wanted", [f"bytes={len(CONTENT)}-", "bytes=-0"], ids=["behind", "none"])
async def test_a_range_of_which_there_is_nothing_is_refused_with_the_length(
    stored: Stored, wanted: str
) -> None:
    response = await stored.get(Range=wanted)
    assert (response.status_code, response.content) == (416, b"")
    assert response.headers["content-range"] == f"bytes */{len(CONTENT)}"


@pytest.mark.parametrize(("tag", "status"), [(ENTITY_TAG, 206), ('"older"', 200)], ids=["same", "changed"])
async def test_a_range_of_another_version_becomes_the_whole(stored: Stored, tag: str, status: int) -> None:
    assert (await stored.get(Range="bytes=0-9", If_Range=tag)).status_code == status


def test_ranges_of_an_empty_file_hold_nothing() -> None:
    for wanted in ("bytes=0-", "bytes=0-0", "bytes=-5"):
        with pytest.raises(UnsatisfiableRangeError):
            read_range(wanted, 0)
    assert read_range("bytes=0-0", 1) == Span(0, 1)


@pytest.mark.parametrize("wanted", ["bytes=0-9", "bytes=200000-200009", None])
async def test_an_original_from_before_is_given_as_it_is(stored: Stored, wanted: str | None) -> None:
    stored.bus.objects.kept = {original_key(OWNER_ID, "d1"): CONTENT}
    stored.rag.document = stored.rag.document.model_copy(update={"is_sealed": False})
    stored.keys.is_away = True
    response = await stored.get(**({"Range": wanted} if wanted else {}))
    span = read_range(wanted, len(CONTENT)) or Span(0, len(CONTENT))
    assert response.content == CONTENT[span.start : span.stop]


async def test_a_sealed_original_is_not_looked_for_among_the_plain(stored: Stored) -> None:
    stored.bus.objects.kept = {original_key(OWNER_ID, "d1"): CONTENT}
    assert (await stored.get()).status_code == 404


async def test_without_keys_a_download_is_refused_and_may_be_tried_again(stored: Stored) -> None:
    stored.keys.is_away = True
    response = await stored.get()
    assert (response.status_code, response.json()["error"]["retryable"]) == (503, True)
    stored.keys.is_away = False
    assert (await stored.get()).content == CONTENT


@pytest.mark.parametrize("request_", ["upload", "page"])
async def test_without_keys_an_upload_is_refused_before_anything_is_asked_or_written(
    stored: Stored, request_: str
) -> None:
    stored.bus.objects.kept, stored.keys.is_away = {}, True
    before = len(stored.rag.asked)
    if request_ == "upload":
        response = await stored.client.post("/api/documents", files={"file": ("a.txt", b"secret")})
    else:
        response = await stored.client.post("/api/documents/url", json={"url": "https://example.org/"})
    error: dict[str, Any] = response.json()["error"]
    assert (response.status_code, error["code"], error["retryable"]) == (503, "unavailable", True)
    assert stored.bus.objects.kept == {}
    assert [one for one in stored.rag.asked[before:] if isinstance(one, CreateDocument)] == []


async def test_an_original_that_was_changed_is_never_begun(stored: Stored) -> None:
    kept = bytearray(stored.bus.objects.kept[KEY])
    kept[100] ^= 1
    stored.bus.objects.kept[KEY] = bytes(kept)
    response = await stored.get()
    assert (response.status_code, response.json()["error"]["retryable"]) == (500, False)
    assert CONTENT[:50] not in response.content


async def test_an_original_that_was_changed_at_its_end_is_broken_off(stored: Stored) -> None:
    stored.bus.objects.kept[KEY] = stored.bus.objects.kept[KEY][:-1] + b"?"
    with pytest.raises((httpx.HTTPError, ValueError)):
        await stored.get()
    assert (await stored.get(Range="bytes=0-9")).content == CONTENT[:10]


async def test_an_older_version_does_not_open_in_the_place_of_a_newer(stored: Stored) -> None:
    stored.rag.document = stored.rag.document.model_copy(update={"sha256": "1" * 64})
    assert (await stored.get()).status_code == 500
