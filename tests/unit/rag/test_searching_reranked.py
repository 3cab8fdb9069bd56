"""Search with the reranker switched on."""

from pathlib import Path

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import Rerank, RerankScores
from parley_contracts.rag import Search, SearchMode, SearchResults
from parley_rag.settings import RagSettings

from tests.unit.rag.library import OWNER, Library

TEXTS = {
    "a.txt": b"The pump moves water and more water.",
    "b.txt": b"Water is moved.",
    "c.txt": b"A pump.",
}


@pytest.fixture
def settings(tmp_path: Path) -> RagSettings:
    return RagSettings(
        data_dir=tmp_path,
        rag_embed_budget_s=0.2,
        rag_rerank=True,
        rag_rerank_passages=2,
        rag_rerank_budget_s=0.2,
    )


async def shortest_first(request: Rerank) -> RerankScores:
    return RerankScores(model="shortest", scores=tuple(-float(len(text)) for text in request.texts))


async def away(request: Rerank) -> RerankScores:
    raise ParleyError(ErrorCode.UNAVAILABLE, f"no reranker for {len(request.texts)} texts")


async def one_too_few(request: Rerank) -> RerankScores:
    return RerankScores(model="shortest", scores=(0.0,) * (len(request.texts) - 1))


async def found(library: Library, **fields: object) -> SearchResults:
    request = Search.model_validate({"owner_id": OWNER, "query": "pump moves water", **fields})
    return await library.parts.searching.search(request)


async def names(library: Library, **fields: object) -> list[str]:
    return [one.document.name for one in (await found(library, **fields)).results]


@pytest.fixture
async def filled(library: Library) -> Library:
    library.bus.answer(subjects.NPU_RERANK, Rerank, shortest_first)
    for name, text in TEXTS.items():
        await library.upload(text, name)
    return library


async def test_the_first_few_are_put_in_the_rerankers_order_and_the_scores_stay(filled: Library) -> None:
    fused = await found(filled, mode="rrf")
    assert fused.results[0].document.name == "a.txt"
    results = await found(filled)
    assert results.degraded == ()
    first, second, third = (one.document.name for one in results.results)
    assert (second, {first, third}) == ("a.txt", {"b.txt", "c.txt"})
    scores = [one.score for one in results.results]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("failing", [away, one_too_few])
async def test_without_the_reranker_the_order_stays_and_it_is_said(filled: Library, failing: object) -> None:
    filled.bus.answer(subjects.NPU_RERANK, Rerank, failing)  # pyright: ignore[reportArgumentType]  one of two handlers
    results = await found(filled)
    assert results.degraded == ("reranker",)
    assert results.results[0].document.name == "a.txt"


@pytest.mark.parametrize("mode", [SearchMode.MEANING, SearchMode.WORDS, SearchMode.RRF])
async def test_other_modes_are_not_reranked(filled: Library, mode: SearchMode) -> None:
    filled.bus.answer(subjects.NPU_RERANK, Rerank, away)
    assert (await found(filled, mode=mode)).degraded == ()
