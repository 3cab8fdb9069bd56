"""One suite over every vector index."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_rag.backends.edge import Patience, open_edge
from parley_rag.backends.memory import MemoryIndex
from parley_rag.backends.server import ServerIndex
from parley_rag.passages import chunk_id
from parley_rag.vectors import IndexedPassage, Scope, VectorIndex
from parley_rag.words import Terms, weights_of
from qdrant_client import AsyncQdrantClient

from tests.fakes.embedding import DIMENSIONS, HashEmbedder

DOCUMENT = "6f1c1a0e-0000-4000-8000-000000000001"
OTHER_DOCUMENT = "6f1c1a0e-0000-4000-8000-000000000002"
WORDS = weights_of("english")
TYPES = ("text/plain", "application/pdf", "application/pdf")
TEXTS = ("The pump moves water.", "The kettle boils water.", "Trains leave at noon.")


@pytest.fixture(params=["memory", "edge", "server"])
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[VectorIndex, None]:
    if request.param == "memory":
        yield MemoryIndex()
    elif request.param == "edge":
        async with open_edge(tmp_path / "vectors", DIMENSIONS) as edge:
            yield edge
    else:
        client = AsyncQdrantClient(location=":memory:")
        server = ServerIndex(client, "passages")
        await server.prepare(DIMENSIONS, with_payload_indexes=False)  # the local mode has none and warns
        yield server
        await client.close()


def vector(text: str) -> bytes:
    return HashEmbedder().embed([text]).astype("<f4").tobytes()


def passages(
    owner: str = "ada", document: str = DOCUMENT, collection: str = "default"
) -> list[IndexedPassage]:
    return [
        IndexedPassage(
            id=chunk_id(document, n),
            owner_id=owner,
            collection=collection,
            document_id=document,
            content_type=TYPES[n],
            dated_ms=1_000 * n,
            vector=vector(text),
            terms=WORDS.of_passage(text),
        )
        for n, text in enumerate(TEXTS)
    ]


def terms(query: str) -> Terms:
    """Return the words of a query, each as rare as the others."""
    asked = WORDS.of_query(query)
    return list(asked), list(asked.values())


async def test_every_candidate_has_both_scores(index: VectorIndex) -> None:
    await index.put(passages())
    found = {
        c.id: c for c in await index.search(terms("pumped waters"), vector("kettle boils"), Scope("ada"), 1)
    }
    pump, kettle = found[chunk_id(DOCUMENT, 0)], found[chunk_id(DOCUMENT, 1)]
    assert pump.bm25 is not None
    assert kettle.bm25 is not None
    assert pump.cosine is not None
    assert kettle.cosine is not None
    assert pump.bm25 > kettle.bm25 > 0
    assert kettle.cosine > pump.cosine
    assert len(found) == 2


async def test_words_alone_are_searched_without_a_vector(index: VectorIndex) -> None:
    await index.put(passages())
    found = await index.search(terms("trains leaving"), None, Scope("ada"), 5)
    assert [(c.id, c.cosine) for c in found] == [(chunk_id(DOCUMENT, 2), None)]


async def test_a_query_of_stop_words_finds_nothing_by_words(index: VectorIndex) -> None:
    await index.put(passages())
    assert await index.search(terms("the at"), None, Scope("ada"), 5) == ()


async def test_nothing_outside_the_scope_is_found(index: VectorIndex) -> None:
    await index.put([*passages(), *passages("bob", OTHER_DOCUMENT, "pumps")])

    async def documents(scope: Scope) -> set[str]:
        found = await index.search(terms("water"), vector("water"), scope, 50)
        ids = {chunk_id(document, n): document for document in (DOCUMENT, OTHER_DOCUMENT) for n in range(3)}
        return {ids[candidate.id] for candidate in found}

    assert await documents(Scope("ada")) == {DOCUMENT}
    assert await documents(Scope("bob")) == {OTHER_DOCUMENT}
    assert await documents(Scope("eve")) == set()
    assert await documents(Scope("ada", collections=("pumps",))) == set()
    assert await documents(Scope("bob", collections=("pumps", "x"))) == {OTHER_DOCUMENT}
    assert await documents(Scope("ada", document_ids=(OTHER_DOCUMENT,))) == set()
    assert await documents(Scope("ada", hidden_document_ids=(DOCUMENT,))) == set()


async def test_types_and_dates_narrow_a_search(index: VectorIndex) -> None:
    await index.put(passages())

    async def numbers(scope: Scope) -> set[int]:
        found = await index.search(terms("water"), vector("water"), scope, 50)
        return {[chunk_id(DOCUMENT, n) for n in range(3)].index(candidate.id) for candidate in found}

    assert await numbers(Scope("ada", content_types=("application/pdf",))) == {1, 2}
    assert await numbers(Scope("ada", content_types=TYPES, dated_from_ms=1_000)) == {1, 2}
    assert await numbers(Scope("ada", dated_before_ms=1_000)) == {0}
    assert await numbers(Scope("ada", dated_from_ms=1_000, dated_before_ms=2_000)) == {1}
    assert await numbers(Scope("ada", content_types=())) == set()


async def test_putting_again_replaces_and_removing_removes_one_document_only(index: VectorIndex) -> None:
    for _ in range(2):
        await index.put([*passages(), *passages("ada", OTHER_DOCUMENT)])
    assert await index.count("ada", DOCUMENT) == 3
    await index.remove_document("bob", DOCUMENT)
    assert await index.count("ada", DOCUMENT) == 3
    await index.remove_document("ada", DOCUMENT)
    await index.remove_document("ada", DOCUMENT)
    assert (await index.count("ada", DOCUMENT), await index.count("ada", OTHER_DOCUMENT)) == (0, 3)
    await index.flush()
    await index.check()


async def test_all_indexes_score_words_alike(index: VectorIndex) -> None:
    await index.put(passages())
    reference = MemoryIndex()
    await reference.put(passages())
    query = (terms("pumps and kettles of water"), vector("water pump"), Scope("ada"), 10)
    expected = {c.id: c for c in await reference.search(*query)}
    for candidate in await index.search(*query):
        assert candidate.bm25 == pytest.approx(expected[candidate.id].bm25, rel=1e-3)
        assert candidate.cosine == pytest.approx(expected[candidate.id].cosine, abs=1e-3)


async def test_what_was_put_outlives_a_kill_of_the_index_process(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "vectors", DIMENSIONS) as index:
        await index.put(passages())
        os.kill(index_process(tmp_path), signal.SIGKILL)
        assert await index.count("ada", DOCUMENT) == 3
    async with open_edge(tmp_path / "vectors", DIMENSIONS) as index:
        assert await index.count("ada", DOCUMENT) == 3


async def test_an_answer_nobody_waits_for_any_more_is_not_given_to_the_next(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "vectors", DIMENSIONS) as index:
        await index.put(passages())
        for _ in range(20):
            asking = asyncio.ensure_future(index.search(terms("water"), vector("water"), Scope("ada"), 5))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            asking.cancel()
            assert await index.count("ada", DOCUMENT) == 3


def index_process(path: Path) -> int:
    """Return the process id of the child whose shard is below `path`."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, status = (folder / "cmdline").read_bytes(), (folder / "status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if os.fsencode(path) in command and f"PPid:\t{os.getpid()}\n" in status:
            return int(folder.name)
    raise AssertionError("there is no index process")


async def test_a_check_starts_a_dead_index_process_anew(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "vectors", DIMENSIONS) as index:
        dead = index_process(tmp_path)
        os.kill(dead, signal.SIGKILL)
        await index.check()
        assert index_process(tmp_path) != dead
        assert await index.count("ada", DOCUMENT) == 0


@asynccontextmanager
async def hung_index(path: Path, patience: Patience) -> AsyncGenerator[VectorIndex, None]:
    """Yield an index of three passages whose process does not go on."""
    async with open_edge(path / "vectors", DIMENSIONS, patience) as index:
        await index.put(passages())
        os.kill(index_process(path), signal.SIGSTOP)
        yield index


async def test_an_index_process_that_hangs_is_ended_and_the_next_one_answers(tmp_path: Path) -> None:
    async with asyncio.timeout(30), hung_index(tmp_path, Patience(read_s=0.2)) as index:
        with pytest.raises(ParleyError, match="does not answer") as caught:
            await index.search(terms("water"), None, Scope("ada"), 5)
        assert caught.value.code is ErrorCode.UNAVAILABLE
        assert await index.count("ada", DOCUMENT) == 3


async def test_a_hung_index_process_is_ended_though_every_asker_gives_up_sooner(tmp_path: Path) -> None:
    async with asyncio.timeout(30), hung_index(tmp_path, Patience(read_s=2.0)) as index:

        async def ask_for_a_moment() -> int:
            try:
                async with asyncio.timeout(1.2):
                    return await index.count("ada", DOCUMENT)
            except (TimeoutError, ParleyError):
                return 0

        hung = index_process(tmp_path)
        while await ask_for_a_moment() == 0:
            pass
        assert index_process(tmp_path) != hung


async def test_a_check_finds_a_hung_index_process(tmp_path: Path) -> None:
    async with asyncio.timeout(30), hung_index(tmp_path, Patience(read_s=0.2)) as index:
        with pytest.raises(ParleyError, match="does not answer"):
            await index.check()
        await index.check()


async def test_checks_do_not_keep_the_index_process_from_its_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "parley.rag")
    async with asyncio.timeout(30), open_edge(tmp_path / "v", DIMENSIONS, idle_s=0.3) as index:
        await index.put(passages())
        while "vector index process rests" not in caplog.messages:
            await index.check()
        assert await index.count("ada", DOCUMENT) == 3


async def test_an_index_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ParleyError, match="cannot be started"):
        async with open_edge(tmp_path / "file" / "vectors", DIMENSIONS):
            pass
