"""One suite over every vector index: in memory, embedded, and the client of a server on its two stand-ins."""

import random
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import pytest
from parley_rag.backends.edge import open_edge
from parley_rag.backends.memory import MemoryIndex
from parley_rag.backends.server import ServerIndex, open_server
from parley_rag.passages import chunk_id
from parley_rag.vectors import IndexedPassage, Scope, VectorIndex
from parley_rag.words import Terms, weights_of
from qdrant_client import AsyncQdrantClient

from tests.fakes.embedding import DIMENSIONS, HashEmbedder
from tests.fakes.fake_listener import listening
from tests.fakes.qdrant_server import QdrantFake

# Its local mode has no graph to walk and no payload indexes, and says so.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
]
DOCUMENT = "6f1c1a0e-0000-4000-8000-000000000001"
OTHER_DOCUMENT = "6f1c1a0e-0000-4000-8000-000000000002"
WORDS = weights_of("english")
TYPES = ("text/plain", "application/pdf", "application/pdf")
TEXTS = ("The pump moves water.", "The kettle boils water.", "Trains leave at noon.")


@pytest.fixture(params=["memory", "edge", "server local", "server fake"])
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[VectorIndex, None]:
    if request.param == "memory":
        yield MemoryIndex()
    elif request.param == "edge":
        async with open_edge(tmp_path / "vectors", DIMENSIONS) as edge:
            yield edge
    elif request.param == "server local":
        client = AsyncQdrantClient(location=":memory:")
        server = ServerIndex(client, "passages")
        await server.prepare(DIMENSIONS)
        yield server
        await client.close()
    else:
        fake = QdrantFake()
        async with listening(fake.app()) as url, open_server(url, "passages", DIMENSIONS) as server:
            yield server


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
    assert pump.cosine is not None
    assert kettle.cosine is not None
    assert pump.bm25 > kettle.bm25 > 0
    assert kettle.cosine > pump.cosine
    assert len(found) == 2


async def test_the_vectors_of_passages_are_read(index: VectorIndex) -> None:
    await index.put(passages())
    wanted = [chunk_id(DOCUMENT, 2), chunk_id(OTHER_DOCUMENT, 0)]
    found = await index.vectors(wanted)
    assert list(found) == wanted[:1]
    stored = np.frombuffer(vector(TEXTS[2]), "<f4")
    assert np.frombuffer(found[wanted[0]], "<f4") == pytest.approx(stored, abs=1e-6)


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
    found = await index.search(*query)
    assert {candidate.id for candidate in found} == expected.keys()
    for candidate in found:
        assert candidate.bm25 == pytest.approx(expected[candidate.id].bm25, rel=1e-3)
        assert candidate.cosine == pytest.approx(expected[candidate.id].cosine, abs=1e-3)


async def test_an_empty_index_finds_nothing_and_has_nothing(index: VectorIndex) -> None:
    assert await index.search(terms("water"), vector("water"), Scope("ada"), 5) == ()
    assert await index.count("ada", DOCUMENT) == await index.total() == 0
    assert await index.page(None, 10) == ((), None)
    await index.remove_document("ada", DOCUMENT)
    await index.put([])
    await index.flush()
    await index.check()


async def test_a_passage_that_is_put_again_is_found_as_it_is_now(index: VectorIndex) -> None:
    before = passages()[0]
    text = "Kettles boil."
    after = IndexedPassage(
        id=before.id,
        owner_id="ada",
        collection="other",
        document_id=OTHER_DOCUMENT,
        content_type="text/html",
        dated_ms=77,
        vector=vector(text),
        terms=WORDS.of_passage(text),
    )
    await index.put([before])
    await index.put([after])
    assert await index.search(terms("pump"), None, Scope("ada"), 5) == ()
    assert await index.search(terms("kettle"), None, Scope("ada", collections=("default",)), 5) == ()
    found = await index.search(terms("kettle"), vector(text), Scope("ada", collections=("other",)), 5)
    assert [candidate.id for candidate in found] == [before.id]
    assert found[0].cosine == pytest.approx(1.0, abs=1e-3)
    assert (await index.count("ada", DOCUMENT), await index.count("ada", OTHER_DOCUMENT)) == (0, 1)
    assert await index.total() == 1


async def test_filters_take_any_text(index: VectorIndex) -> None:
    names = ("größe/übersicht", "日本語 の本", "a'b\"c\\d", "🜁" * 20, " ")
    await index.put(
        [
            passage
            for n, name in enumerate(names)
            for passage in passages(f"eigner {name}", f"6f1c1a0e-0000-4000-8000-00000000010{n}", name)
        ]
    )
    for name in names:
        scope = Scope(f"eigner {name}", collections=(name,))
        assert len(await index.search(terms("water"), vector("water"), scope, 10)) == 3
        assert await index.search(terms("water"), None, Scope(f"eigner {name}", collections=("x",)), 9) == ()


async def test_hidden_documents_are_left_out_of_the_best(index: VectorIndex) -> None:
    await index.put([*passages(), *passages("ada", OTHER_DOCUMENT)])
    scope = Scope("ada", hidden_document_ids=(DOCUMENT,))
    found = await index.search(terms("pump water"), vector("pump water"), scope, 2)
    assert {c.id for c in found} <= {chunk_id(OTHER_DOCUMENT, n) for n in range(3)}
    assert chunk_id(OTHER_DOCUMENT, 0) in {c.id for c in found}


def many(count: int) -> list[IndexedPassage]:
    """Return passages of one sentence each, of two owners and twenty documents."""
    chance = random.Random(7)
    return [
        IndexedPassage(
            id=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            owner_id=("ada", "bob")[n % 2],
            collection=f"c{n % 3}",
            document_id=f"d{n % 20}",
            content_type=TYPES[n % 3],
            dated_ms=n,
            vector=vector(text),
            terms=WORDS.of_passage(text),
        )
        for n in range(count)
        for text in [f"Sentence number {n} speaks of {chance.choice(('water', 'trains', 'kettles'))}."]
    ]


async def test_a_big_batch_is_put_at_once_and_pages_give_all_of_it_back(index: VectorIndex) -> None:
    put = many(1_201)  # more than goes into one request
    await index.put(put)
    assert await index.total() == 1_201
    assert await index.count("ada", "d4") == sum((p.owner_id, p.document_id) == ("ada", "d4") for p in put)
    got: list[IndexedPassage] = []
    cursor: str | None = None
    while True:
        page, cursor = await index.page(cursor, 500)
        got += page
        if cursor is None:
            break
    assert [p.id for p in got] == sorted(p.id for p in put)
    by_id = {p.id: p for p in put}
    for passage in got:
        as_put = by_id[passage.id]
        for field in ("owner_id", "collection", "document_id", "content_type", "dated_ms"):
            assert getattr(passage, field) == getattr(as_put, field)
        assert memoryview(passage.vector).cast("f").tolist() == pytest.approx(
            memoryview(as_put.vector).cast("f").tolist(), abs=1e-6
        )
        assert dict(zip(*passage.terms, strict=True)) == pytest.approx(
            dict(zip(*as_put.terms, strict=True)), rel=1e-6
        )


async def test_the_best_of_many_are_found_in_every_index_alike(index: VectorIndex) -> None:
    put = many(300)
    reference = MemoryIndex()
    await index.put(put)
    await reference.put(put)
    scope = Scope("ada", collections=("c0", "c2"), dated_from_ms=20, dated_before_ms=280)
    query = (terms("sentence 38 of water"), vector("sentence number 38 speaks of water"), scope, 8)
    expected = {c.id: c for c in await reference.search(*query)}
    found = {c.id: c for c in await index.search(*query)}
    best = sorted(expected.values(), key=lambda c: -(c.cosine or 0))[0]
    assert best.id in found
    for id_ in expected.keys() & found.keys():
        assert found[id_].cosine == pytest.approx(expected[id_].cosine, abs=1e-3)
        assert found[id_].bm25 == pytest.approx(expected[id_].bm25, rel=1e-3)
    # Which of equally good ones are taken is each index's own affair.
    assert sorted(c.bm25 for c in found.values())[-4:] == pytest.approx(
        sorted(c.bm25 for c in expected.values())[-4:], rel=1e-3
    )
