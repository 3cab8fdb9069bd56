"""What the client of a Qdrant server asks for over the wire, and what becomes of a server that fails."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_rag.backends.server import ServerIndex, open_server
from parley_rag.vectors import Scope
from qdrant_client import AsyncQdrantClient

from tests.fakes.embedding import DIMENSIONS
from tests.fakes.fake_listener import listening
from tests.fakes.qdrant_server import QdrantFake
from tests.unit.rag.test_vector_indexes import DOCUMENT, passages, terms, vector

FAULTS = ("error500", "error429", "half", "nonsense", "empty")


@dataclass
class Server:
    fake: QdrantFake
    url: str


@pytest.fixture
async def server() -> AsyncGenerator[Server]:
    fake = QdrantFake()
    async with listening(fake.app()) as url:
        yield Server(fake, url)


async def test_the_collection_is_made_once_with_its_indexes(server: Server) -> None:
    async with open_server(server.url, "passages", DIMENSIONS) as index:
        assert index.made_anew
    async with open_server(server.url, "passages", DIMENSIONS) as index:
        assert index.made_anew  # what was to be indexed anew was not begun
        await index.put(passages())
    async with open_server(server.url, "passages", DIMENSIONS) as index:
        assert not index.made_anew
        assert await index.count("ada", DOCUMENT) == 3
    made = server.fake.created["passages_2"]
    dense = made["vectors"]["meaning"]
    assert (dense["size"], dense["distance"], dense["on_disk"]) == (DIMENSIONS, "Cosine", True)
    assert dense["quantization_config"]["scalar"]["type"] == "int8"
    assert made["sparse_vectors"] == {"words": {}}
    assert server.fake.payload_indexes["owner_id"] == {"type": "keyword", "is_tenant": True}
    assert server.fake.payload_indexes["dated_ms"] == "integer"
    assert set(server.fake.payload_indexes) == {
        *("owner_id", "collection", "document_id", "content_type", "dated_ms")
    }


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_server_that_fails_is_unavailable_and_the_log_says_why(
    server: Server, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_server(server.url, "passages", DIMENSIONS) as index:
        await index.put(passages())
        server.fake.fault = fault
        for asking in (
            index.put(passages()),
            index.search(terms("water"), vector("water"), Scope("ada"), 5),
            index.search(terms("water"), None, Scope("ada"), 5),
            index.remove_document("ada", DOCUMENT),
            index.count("ada", DOCUMENT),
            index.total(),
            index.page(None, 10),
            index.check(),
        ):
            caplog.clear()
            with pytest.raises(ParleyError) as caught:
                await asking
            assert caught.value.code is ErrorCode.UNAVAILABLE
            [record] = [record for record in caplog.records if record.name == "parley.rag"]
            assert record.message == "Qdrant server failed"
            assert getattr(record, "reason", "")
        server.fake.fault = None
        assert await index.count("ada", DOCUMENT) == 3


async def test_a_server_that_does_not_answer_is_unavailable_in_time(server: Server) -> None:
    client = AsyncQdrantClient(url=server.url, timeout=1, check_compatibility=False)
    index = ServerIndex(client, "passages")
    await index.prepare(DIMENSIONS)
    server.fake.fault = "hang"
    async with asyncio.timeout(10):
        with pytest.raises(ParleyError, match="does not answer"):
            await index.search(terms("water"), None, Scope("ada"), 5)
    await client.close()


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ParleyError) as caught:
        async with open_server(f"http://127.0.0.1:{port}", "passages", DIMENSIONS):
            pass
    assert caught.value.code is ErrorCode.UNAVAILABLE


async def test_a_collection_that_went_away_is_unavailable(server: Server) -> None:
    async with open_server(server.url, "passages", DIMENSIONS):
        pass
    client = AsyncQdrantClient(url=server.url, check_compatibility=False)
    index = ServerIndex(client, "others")
    with pytest.raises(ParleyError, match="no collection"):
        await index.check()
    with pytest.raises(ParleyError, match="does not answer"):  # the server says 404
        await index.count("ada", DOCUMENT)
    await client.close()


async def test_a_collection_for_vectors_of_another_length_is_refused(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_server(server.url, "passages", DIMENSIONS):
        pass
    with pytest.raises(ParleyError, match="another length"):
        async with open_server(server.url, "passages", 2 * DIMENSIONS):
            pass
    record = caplog.records[-1]
    assert (getattr(record, "dimensions", 0), getattr(record, "wanted", 0)) == (DIMENSIONS, 2 * DIMENSIONS)


@pytest.mark.parametrize(("version", "is_enough"), [("1.9.7", False), ("1.10.0", True), ("1.19.0-dev", True)])
async def test_a_server_that_is_too_old_is_refused(version: str, is_enough: bool) -> None:
    fake = QdrantFake(version)
    async with listening(fake.app()) as url:
        opening = open_server(url, "passages", DIMENSIONS)
        if is_enough:
            async with opening as index:
                await index.check()
        else:
            with pytest.raises(ParleyError, match="too old"):
                async with opening:
                    pass
