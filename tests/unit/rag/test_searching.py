from pathlib import Path
from typing import Any

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import Embed, Embeddings
from parley_contracts.rag import CreateCollection, Language, Search, SearchMode, SearchResults
from sqlalchemy import Engine, event

from tests.fakes.embedding import ENGINE, HashEmbedder
from tests.unit.rag.library import OTHER, OWNER, Library
from tests.unit.rag.papers import pdf

PUMP = b"# Pumps\n\n## Care\n\nOil the pump every month."
KETTLE = b"# Kettles\n\nThe kettle boils water in four minutes."


async def away(request: Embed) -> Embeddings:
    raise ParleyError(ErrorCode.UNAVAILABLE, f"no npu for {len(request.texts)} texts")


async def test_the_best_passage_comes_first_with_its_place(library: Library) -> None:
    document = await library.upload(PUMP, "pump.md")
    await library.upload(KETTLE, "kettle.md")
    best, *_ = await library.search("how often is a pump oiled")
    assert best.text == "Oil the pump every month."
    assert (best.document.id, best.document.name, best.document.collection) == (
        document.id,
        "pump.md",
        "default",
    )
    assert best.heading == "Pumps > Care"
    assert best.end - best.start == len(best.text)


async def test_a_passage_of_a_pdf_names_its_page(library: Library) -> None:
    await library.upload(pdf([["Nothing here."], ["The valve opens at noon."], ["The end."]]), "plan.pdf")
    best, *_ = await library.search("when does the valve open")
    assert best.page == 2
    assert best.text == "The valve opens at noon."


async def test_an_owner_without_documents_is_answered_without_asking_npu(library: Library) -> None:
    await library.upload(PUMP, "pump.md")
    asked = len(library.npu.requests)
    assert await library.search("pump", owner=OTHER) == ()
    assert len(library.npu.requests) == asked


async def test_without_npu_words_are_searched_and_it_is_said(library: Library) -> None:
    await library.upload(PUMP, "pump.md")
    await library.upload(KETTLE, "kettle.md")
    library.bus.answer(subjects.NPU_EMBED, Embed, away)
    found = await library.parts.searching.search(Search(owner_id=OWNER, query="pumps oiled"))
    assert found.degraded == ("npu",)
    assert [passage.document.name for passage in found.results] == ["pump.md"]


async def test_the_callers_vector_is_used_when_it_is_of_the_same_engine(library: Library) -> None:
    await library.upload(PUMP, "pump.md")
    library.bus.answer(subjects.NPU_EMBED, Embed, away)
    vector = HashEmbedder().embed(["pump"]).astype("<f4").tobytes()
    for engine, degraded in ((ENGINE, ()), ("another", ("npu",)), (None, ("npu",))):
        found = await library.parts.searching.search(
            Search(owner_id=OWNER, query="pump", vector=vector, engine=engine)
        )
        assert found.degraded == degraded
        assert found.results


def score(results: SearchResults) -> list[tuple[str, float]]:
    return [(passage.document.name, passage.score) for passage in results.results]


async def test_a_search_by_words_asks_no_npu_and_is_not_degraded(library: Library) -> None:
    await library.upload(PUMP, "pump.md")
    await library.upload(KETTLE, "kettle.md")
    asked = len(library.npu.requests)
    found = await library.parts.searching.search(
        Search(owner_id=OWNER, query="pumps oiled", mode=SearchMode.WORDS)
    )
    assert [passage.document.name for passage in found.results] == ["pump.md"]
    assert found.degraded == ()
    assert len(library.npu.requests) == asked


async def test_a_search_by_meaning_scores_by_the_cosine_alone(library: Library) -> None:
    await library.upload(b"The valve opens at noon.", "valve.txt")
    await library.upload(b"The valve of the boiler in the cellar is red.", "boiler.txt")
    request = Search(owner_id=OWNER, query="The valve opens", mode=SearchMode.MEANING)
    found = await library.parts.searching.search(request)
    texts = [f"{Path(one.document.name).stem}\n{one.text}" for one in found.results]
    query, *vectors = HashEmbedder().embed([request.query, *texts])
    assert len(vectors) == 2
    assert [one.score for one in found.results] == pytest.approx(
        [max(0.0, float(query @ vector)) for vector in vectors], abs=1e-5
    )


async def test_a_search_by_meaning_without_npu_is_made_by_words_and_says_so(library: Library) -> None:
    await library.upload(PUMP, "pump.md")
    library.bus.answer(subjects.NPU_EMBED, Embed, away)
    for mode in (SearchMode.MEANING, SearchMode.RRF):
        found = await library.parts.searching.search(Search(owner_id=OWNER, query="pump", mode=mode))
        assert found.degraded == ("npu",)
        assert [passage.document.name for passage in found.results] == ["pump.md"]


async def test_reciprocal_rank_fusion_knows_places_only(library: Library) -> None:
    await library.upload(PUMP, "pump.md")
    await library.upload(KETTLE, "kettle.md")
    found = await library.parts.searching.search(
        Search(owner_id=OWNER, query="oil pump month", mode=SearchMode.RRF)
    )
    assert score(found) == [("pump.md", 1.0), ("kettle.md", pytest.approx(0.5 * 61 / 62, abs=1e-6))]


async def test_no_more_passages_of_a_document_are_shown_than_asked_for(library: Library) -> None:
    sections = [f"## Pump {part}\n\nThe {part} of the pump is {part} {part}.\n" for part in "abcd"]
    sections = [f"{section}\n{'Its story is long. ' * 20}{n} times.\n" for n, section in enumerate(sections)]
    await library.upload("\n".join(["# Pumps", *sections]).encode(), "pumps.md")
    await library.upload(b"A pump of another kind.", "other.txt")

    async def names(most: int | None) -> list[str]:
        request = Search(owner_id=OWNER, query="pump", max_per_document=most)
        return sorted(one.document.name for one in (await library.parts.searching.search(request)).results)

    assert await names(None) == ["other.txt", *["pumps.md"] * 4]
    assert await names(2) == ["other.txt", "pumps.md", "pumps.md"]
    assert await names(1) == ["other.txt", "pumps.md"]


async def test_the_cap_of_a_document_lets_those_below_move_up(library: Library) -> None:
    sections = [f"## Part {n}\n\nThe pump {'pumps ' * 40} {n}." for n in range(12)]
    await library.upload("\n\n".join(["# Pumps", *sections]).encode(), "pumps.md")
    await library.upload(b"One line names a pump among many other words.", "other.txt")
    request = Search(owner_id=OWNER, query="pump", max_per_document=1, limit=2)
    found = await library.parts.searching.search(request)
    assert {one.document.name for one in found.results} == {"pumps.md", "other.txt"}


DRAWN = {
    "best.txt": b"Sourdough rests overnight in cold cellars while bakers knead flour.",
    "like.txt": b"Bakers knead flour in cold cellars while it rests.",
    "other.txt": b"The old sofa rests on legs.",
}


@pytest.mark.parametrize(
    ("language", "names"),
    [
        (Language.ENGLISH, ["best.txt", "like.txt", "other.txt"]),
        (Language.NORWEGIAN, ["best.txt", "other.txt", "like.txt"]),
    ],
)
async def test_what_is_like_the_best_moves_up_where_the_model_knows_the_language(
    library: Library, language: Language, names: list[str]
) -> None:
    create = CreateCollection(owner_id=OWNER, name="bread", language=language)
    await library.parts.handlers.create_collection(create)
    for name, text in DRAWN.items():
        await library.upload(text, name, collection="bread")
    assert [one.document.name for one in await library.search("sourdough rests")] == names


async def test_a_poor_match_has_a_low_score(library: Library) -> None:
    await library.upload(PUMP, "pump.md")
    await library.upload(KETTLE, "kettle.md")
    good, *_ = await library.search("oil the pump every month")
    poor, *_ = await library.search("what does a zorblax eat every night")
    assert good.score > 0.5
    assert poor.score < 0.3


async def test_searches_are_measured_by_how_they_were_made(library: Library) -> None:
    await library.upload(PUMP, "pump.md")
    asked = ((SearchMode.WORDS, "pump"), (SearchMode.WORDS, "zorblax"), (SearchMode.MEANING, "oil"))
    for mode, query in asked:
        await library.parts.searching.search(Search(owner_id=OWNER, query=query, mode=mode))
    library.bus.answer(subjects.NPU_EMBED, Embed, away)
    await library.search("pump")

    def sample(name: str, mode: str) -> float | None:
        return library.registry.get_sample_value(f"parley_rag_search{name}", {"mode": mode})

    assert (sample("es_total", "words"), sample("es_total", "meaning")) == (3, 1)
    assert (sample("_results_count", "words"), sample("_results_sum", "words")) == (3, 2)
    assert sample("_best_score_count", "words") == 2


async def test_equal_passages_are_shown_once(library: Library) -> None:
    await library.upload(b"Oil the pump every month.", "one.txt")
    await library.upload(b"oil  the pump EVERY month.", "two.txt")
    assert len(await library.search("oil the pump")) == 1


async def test_a_search_stays_inside_the_collections_and_documents_it_names(library: Library) -> None:
    await library.upload(PUMP, "pump.md", collection="pumps")
    kettle = await library.upload(KETTLE, "kettle.md", collection="kettles")

    async def names(**scope: tuple[str, ...]) -> list[str]:
        request = Search.model_validate({"owner_id": OWNER, "query": "pump kettle water", **scope})
        return sorted(
            passage.document.name for passage in (await library.parts.searching.search(request)).results
        )

    assert await names() == ["kettle.md", "pump.md"]
    assert await names(collections=("pumps",)) == ["pump.md"]
    assert await names(document_ids=(kettle.id,)) == ["kettle.md"]
    assert await names(collections=()) == []


@pytest.mark.parametrize("owner_id", [OWNER, "bob"])
async def test_a_collection_that_is_not_there_is_named_though_another_one_is(
    library: Library, owner_id: str
) -> None:
    await library.upload(PUMP, "pump.md", collection="pumps")
    named = ("pumps", "nowhere") if owner_id == OWNER else ("pumps",)
    with pytest.raises(ParleyError, match=f"no collection '{named[-1]}'") as refused:
        await library.parts.searching.search(Search(owner_id=owner_id, query="pump", collections=named))
    assert (refused.value.code, refused.value.field) == (ErrorCode.NOT_FOUND, "collections")


async def test_the_limit_holds(library: Library) -> None:
    for number in range(6):
        await library.upload(f"Pump number {number} is painted.".encode(), f"{number}.txt")
    assert len(await library.search("pump", limit=3)) == 3


@pytest.mark.parametrize("database_url", [None])
async def test_a_search_reads_only_the_passages_that_it_may_show(library: Library) -> None:
    for number in range(20):
        await library.upload(f"Oil pump {number}.".encode(), f"{number}.md")
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, sql: str, values: Any, *_: object) -> None:
        if "rag_chunks" in sql:
            asked.append((sql, values))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert await library.search("pump")
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    async with library.database.reading() as session:
        connection = await session.connection()
        plans = [
            [row.detail for row in await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)]
            for sql, values in asked
        ]
    assert plans
    for plan in plans:
        assert any("rag_chunks" in step and "(id=?)" in step for step in plan), plan
