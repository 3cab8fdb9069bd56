import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import Embed, Embeddings
from parley_contracts.rag import Search
from parley_rag.fusion import fuse
from parley_rag.vectors import Candidate

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
    assert await names(collections=("nowhere",)) == []


async def test_the_limit_holds(library: Library) -> None:
    for number in range(6):
        await library.upload(f"Pump number {number} is painted.".encode(), f"{number}.txt")
    assert len(await library.search("pump", limit=3)) == 3


def test_fusion_ranks_what_both_ways_found_above_what_one_found() -> None:
    ranked = fuse(
        [
            Candidate("meaning", 0.6, 0.0),
            Candidate("both", 0.6, 10.0),
            Candidate("words", 0.1, 10.0),
        ]
    )
    assert [id_ for id_, _ in ranked] == ["both", "meaning", "words"]


def test_fused_scores_are_absolute_so_that_a_poor_match_looks_poor() -> None:
    ((_, good),) = fuse([Candidate("a", 0.7, 15.0)])
    ((_, poor),) = fuse([Candidate("a", 0.1, 0.5)])
    assert good > 0.5
    assert poor < 0.2
    ((_, words_only),) = fuse([Candidate("a", None, 15.0)])
    assert words_only == pytest.approx(15 / 27)
