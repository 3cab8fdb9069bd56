"""When an answer is given again: only where everything that decides it is the same, for one owner."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.prices import Prices
from parley_contracts.response_format import ResponseFormat
from parley_contracts.tools import ToolSpec
from parley_contracts.turns import ChatMessage, GenerationParams, TokenUsage
from parley_llm import answer_cache
from parley_llm.answer_cache import AnswerCache, CacheMeter
from parley_llm.answer_store import MemoryAnswers
from parley_llm.catalogue import Catalogue
from parley_llm.language_model import (
    Chunk,
    FinalChunk,
    FinishReason,
    ReasoningChunk,
    TextChunk,
    ToolCallChunk,
)
from parley_llm.model_chain import ModelChain
from prometheus_client import CollectorRegistry

from tests.unit.llm.jobs import IMAGE, TEXT, job_for
from tests.unit.llm.test_model_chain import Model

SPENT = TokenUsage(prompt_tokens=100, completion_tokens=20, cached_tokens=40)
COLD = GenerationParams(temperature=0)


class Answering(Model):
    """A provider that tells its version and writes what the test says."""

    version = "sha256:1"
    chunks: tuple[Chunk, ...] = (TextChunk("It is "), TextChunk("seven."))
    reason: FinishReason = "stop"

    async def models(self) -> tuple[ModelInfo, ...]:
        info = ModelInfo(
            id=self.name, pool=self.pool, context_tokens=100, owned_by="test", version=self.version
        )
        return (info,)

    async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        self.asked.append(job)
        for chunk in self.chunks:
            yield chunk
        if self.error:
            raise self.error
        yield FinalChunk(SPENT, self.reason)


class Bench:
    """A model behind a cache."""

    def __init__(self) -> None:
        self.model = Answering("a")
        self.store = MemoryAnswers(100)
        self.servers = {"a": "at home"}

    async def ask(self, *, written: str = "", **changes: Any) -> list[Chunk]:
        job = job_for("a", params=COLD)
        changes = {"uses_cache": True, **changes}
        if (owner := changes.pop("owner", None)) is not None:
            changes["turn"] = job.turn.model_copy(update={"owner_id": owner})
        job = job.model_copy(update=changes)
        answers = AnswerCache(self.store, CacheMeter(CollectorRegistry()), self.servers)
        catalogue = Catalogue([self.model, Answering("last")], answers=answers)
        return [chunk async for chunk in ModelChain(catalogue, job).generate(written=written)]

    async def calls_of_two(self, first: dict[str, Any], second: dict[str, Any]) -> int:
        await self.ask(**first)
        await self.ask(**second)
        return len(self.model.asked)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_same_question_has_the_same_answer_and_the_model_is_asked_once(bench: Bench) -> None:
    first, second = await bench.ask(), await bench.ask()
    assert len(bench.model.asked) == 1
    assert [type(chunk) for chunk in second] == [TextChunk, FinalChunk]
    assert second[0] == TextChunk("It is seven.")
    assert first[-1] == FinalChunk(SPENT, "stop")


async def test_a_hit_counts_as_cached_and_costs_nothing(bench: Bench) -> None:
    await bench.ask()
    final = (await bench.ask())[-1]
    assert isinstance(final, FinalChunk)
    usage = final.usage
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (100, 100, 20)
    assert (usage.remembered_prompt_tokens, usage.remembered_completion_tokens) == (100, 20)
    prices = Prices({"a": (1_000_000, 2_000_000, 500_000)})
    assert prices.cost_micros("a", usage) == 0
    assert prices.cost_micros("a", SPENT) == 60 + 20 + 40
    # Of a turn of which one round was remembered, the other one is paid.
    assert prices.cost_micros("a", usage + SPENT) == prices.cost_micros("a", SPENT)


async def test_thoughts_and_calls_of_tools_are_given_again_as_they_were(bench: Bench) -> None:
    bench.model.chunks = (
        ReasoningChunk("Let me "),
        ReasoningChunk("see."),
        ToolCallChunk(0, "c1", "price", '{"of"'),
        ToolCallChunk(0, None, None, ': "tea"'),
        ToolCallChunk(0, None, None, "}"),
        ToolCallChunk(1, "c2", "stock", "{}"),
    )
    bench.model.reason = "tool_calls"
    await bench.ask()
    *pieces, final = await bench.ask()
    assert pieces == [
        ReasoningChunk("Let me see."),
        ToolCallChunk(0, "c1", "price", '{"of"'),
        ToolCallChunk(0, None, None, ': "tea"}'),
        ToolCallChunk(1, "c2", "stock", "{}"),
    ]
    assert isinstance(final, FinalChunk)
    assert final.finish_reason == "tool_calls"


OTHERS: dict[str, dict[str, Any]] = {
    "owner": {"owner": "o2"},
    "messages": {"messages": (ChatMessage(role="user", content="Another?"),)},
    "temperature": {"params": GenerationParams(temperature=0, top_p=0.5)},
    "seed": {"params": GenerationParams(temperature=0, seed=2)},
    "stop": {"params": GenerationParams(temperature=0, stop=("x",))},
    "shape": {"params": GenerationParams(temperature=0, response_format=ResponseFormat(type="json_object"))},
    "a file": {"attachments": (TEXT,)},
    "tools": {"tools": (ToolSpec(name="t", description="", parameters={"type": "object"}),)},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
async def test_whatever_decides_an_answer_makes_it_another(bench: Bench, other: dict[str, Any]) -> None:
    assert await bench.calls_of_two({}, other) == 2


@pytest.mark.parametrize(
    "changed", [{"max_chars": 5}, {"is_left_out": True}, {"sha256": "5" * 64}, {"name": "other.txt"}]
)
async def test_another_part_of_a_file_makes_it_another_answer(bench: Bench, changed: dict[str, Any]) -> None:
    other = TEXT.model_copy(update=changed)
    assert await bench.calls_of_two({"attachments": (IMAGE, TEXT)}, {"attachments": (IMAGE, other)}) == 2


async def test_the_same_files_are_answered_from_the_cache(bench: Bench) -> None:
    files = {"attachments": (IMAGE, TEXT)}
    assert await bench.calls_of_two(files, files) == 1


async def test_another_version_of_a_model_and_another_server_answer_anew(bench: Bench) -> None:
    await bench.ask()
    bench.model.version = "sha256:2"
    await bench.ask()
    bench.servers = {"a": "elsewhere"}
    await bench.ask()
    assert len(bench.model.asked) == 3


async def test_what_decides_no_answer_makes_it_no_other(bench: Bench) -> None:
    assert await bench.calls_of_two({}, {"deadline_ms": 99, "last_seq": 7, "degraded": ("rag",)}) == 1


NOT_KEPT: dict[str, dict[str, Any]] = {
    "not-asked-for": {"uses_cache": False},
    "warm": {"params": GenerationParams(temperature=0.1)},
    "model's-own-temperature": {"params": GenerationParams()},
    "likelihoods": {"params": GenerationParams(temperature=0, logprobs=True)},
    "gone-on-with": {"written": "It is "},
}


@pytest.mark.parametrize("asked", NOT_KEPT.values(), ids=NOT_KEPT)
async def test_what_is_not_meant_to_be_the_same_again_is_not(bench: Bench, asked: dict[str, Any]) -> None:
    assert await bench.calls_of_two(asked, asked) == 2


async def test_a_seed_is_enough(bench: Bench) -> None:
    seeded = {"params": GenerationParams(temperature=0.8, seed=7)}
    assert await bench.calls_of_two(seeded, seeded) == 1


async def test_an_answer_that_has_failed_was_filtered_or_is_too_long_is_not_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.model.error = ParleyError(ErrorCode.UPSTREAM_FAILED, "no")
    with pytest.raises(ParleyError):
        await bench.ask()
    bench.model.error, bench.model.reason = None, "content_filter"
    await bench.ask()
    bench.model.reason = "stop"
    monkeypatch.setattr(answer_cache, "MOST_BYTES", 10)
    await bench.ask()
    assert len(bench.model.asked) == 3
    await bench.ask()
    assert len(bench.model.asked) == 4


async def test_what_is_kept_shows_neither_question_nor_answer_and_opens_for_its_question_alone(
    bench: Bench,
) -> None:
    kept: dict[str, bytes] = {}

    class Seen(MemoryAnswers):
        async def put(self, root: str, name: str, value: bytes) -> bool:
            kept[name] = value
            return await super().put(root, name, value)

    bench.store = Seen(100)
    await bench.ask()
    (name, value), *none = kept.items()
    assert none == []
    for planted in (b"seven", b"kettle", b"o1"):
        assert planted not in value
        assert planted not in name.encode()
    # What stands there is another's, or was tampered with: the model is asked.
    await bench.store.put("o1", name, value[:-1] + bytes([value[-1] ^ 1]))
    await bench.ask()
    assert len(bench.model.asked) == 2


async def test_a_long_answer_is_given_again_in_pieces(bench: Bench) -> None:
    bench.model.chunks = (TextChunk("x" * 10_000),)
    await bench.ask()
    pieces = [chunk.text for chunk in await bench.ask() if isinstance(chunk, TextChunk)]
    assert "".join(pieces) == "x" * 10_000
    assert len(pieces) == 3
