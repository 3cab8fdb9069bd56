"""What every language model must do, run against each."""

import pytest
from parley_contracts.turns import GenerationParams
from parley_llm.language_model import TextChunk

from tests.unit.llm.conftest import Candidate
from tests.unit.llm.jobs import final_of, text_of


async def test_an_answer_is_text_then_exactly_one_final_chunk(candidate: Candidate):
    chunks = [chunk async for chunk in candidate.model.generate(candidate.job())]

    final = final_of(chunks)
    assert len(chunks) > 3
    assert all(chunk.text for chunk in chunks if isinstance(chunk, TextChunk))
    assert final.finish_reason == "stop"
    assert final.usage.prompt_tokens > 0
    assert final.usage.completion_tokens > 0


async def test_the_models_it_lists_are_its_own_and_of_its_pool(candidate: Candidate):
    listed = await candidate.model.models()

    assert listed[0].id == candidate.model_id
    assert all(candidate.model.serves(info.id) for info in listed)
    assert {info.pool for info in listed} == {candidate.model.pool}
    assert not candidate.model.serves("somebody/else")


@pytest.mark.parametrize("count", [0, 1, 2, 4])
async def test_what_is_written_is_gone_on_from(candidate: Candidate, count: int):
    if not candidate.model.can_continue:
        pytest.skip("begins anew")
    whole = [chunk async for chunk in candidate.model.generate(candidate.job())]
    written = text_of(whole[:count])

    rest = [chunk async for chunk in candidate.model.generate(candidate.job(), written=written)]

    expected = text_of(whole)
    if candidate.model.pool != "extractive" and not written:
        expected = expected.replace("c1w", "c2w")
    assert written + text_of(rest) == expected
    final_of(rest)


async def test_a_limit_on_tokens_ends_the_answer_by_length(candidate: Candidate):
    job = candidate.job(GenerationParams(max_tokens=5))

    chunks = [chunk async for chunk in candidate.model.generate(job)]

    assert final_of(chunks).finish_reason == "length"
    assert len(text_of(chunks).split()) == 5
