"""A job's chain of models: who is asked, in which order, and when nobody else is."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.turns import ChatMessage, GenerationParams, ModelLink, TokenUsage
from parley_llm.catalogue import Catalogue
from parley_llm.language_model import Chunk, FinalChunk, TextChunk
from parley_llm.model_chain import ModelChain
from parley_llm.provider_guard import ProviderGuards
from parley_messaging.circuit import FAILURES, Circuits

from tests.unit.llm.jobs import IMAGE, TEXT, job_for, text_of

WAIT_S = 5.0


@dataclass
class Model:
    """A provider with one model, which fails as the test says and keeps the jobs it was asked with."""

    name: str
    error: Exception | None = None
    pieces: Sequence[str] = ("some ", "words")
    fails_after: int = 0
    can_continue: bool = True
    asked: list[GenerateJob] = field(default_factory=list[GenerateJob])
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_end.set()

    @property
    def pool(self) -> str:
        return self.name

    def serves(self, model_id: str) -> bool:
        return model_id == self.name

    async def models(self) -> tuple[ModelInfo, ...]:
        return ()

    async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        self.asked.append(job)
        for piece in self.pieces[: self.fails_after] if self.error else self.pieces:
            yield TextChunk(f"{self.name}: {piece}")
        if self.error:
            raise self.error
        await self.may_end.wait()
        yield FinalChunk(TokenUsage(), "stop")


def failing(code: ErrorCode = ErrorCode.UPSTREAM_FAILED, *, retryable: bool | None = None) -> ParleyError:
    return ParleyError(code, "no", retryable=retryable)


def chained(*models: Model, guards: ProviderGuards | None = None, **fields: object) -> ModelChain:
    """Return a chain of these models; the last one is the last resort and no part of it."""
    links = tuple(ModelLink(model=one.name) for one in models[1:-1])
    job = job_for(models[0].name).model_copy(update={"fallbacks": links, **fields})
    return ModelChain(Catalogue(models, guards=guards), job)


async def answer(chain: ModelChain, *, written: str = "") -> str:
    async with asyncio.timeout(WAIT_S):
        return text_of([chunk async for chunk in chain.generate(written=written)])


async def error_of(chain: ModelChain) -> ParleyError:
    with pytest.raises(ParleyError) as caught:
        await answer(chain)
    return caught.value


EVERY_FAILURE = [
    failing(),
    failing(retryable=False),
    failing(ErrorCode.UNAVAILABLE),
    failing(ErrorCode.TIMEOUT),
    failing(ErrorCode.OVERLOADED),
    failing(ErrorCode.MODEL_NOT_FOUND),
    failing(ErrorCode.TOO_LARGE),
]


@pytest.mark.parametrize("error", EVERY_FAILURE, ids=[f"{one.code}-{one.retryable}" for one in EVERY_FAILURE])
async def test_a_model_that_does_not_begin_is_followed_by_the_next(error: ParleyError) -> None:
    chain = chained(Model("a", error), Model("b", error), Model("c"), Model("last"))
    assert await answer(chain) == "c: some c: words"
    assert (chain.answering, chain.is_replaced) == ("c", True)


async def test_the_first_that_begins_is_the_only_one_that_is_asked() -> None:
    first, second = Model("a"), Model("b")
    chain = chained(first, second, Model("last"))
    assert await answer(chain) == "a: some a: words"
    assert (chain.answering, chain.is_replaced, second.asked) == ("a", False, [])


async def test_from_the_first_piece_on_nobody_takes_its_place() -> None:
    second = Model("b")
    chain = chained(Model("a", failing(), fails_after=1), second, Model("last"))
    async with aclosing(chain.generate()) as chunks:
        assert await anext(chunks) == TextChunk("a: some ")
        with pytest.raises(ParleyError):
            await anext(chunks)
    assert (chain.answering, second.asked) == ("a", [])


async def test_an_answer_that_is_gone_on_with_is_gone_on_with_by_nobody_else() -> None:
    last = Model("last")
    with pytest.raises(ParleyError):
        await answer(chained(Model("a", failing(ErrorCode.UNAVAILABLE)), last), written="a: ")
    assert last.asked == []


async def test_a_fault_of_ours_is_nobody_elses_to_answer() -> None:
    second = Model("b")
    with pytest.raises(RuntimeError):
        await answer(chained(Model("a", RuntimeError("bug")), second, Model("last")))
    assert second.asked == []


async def test_where_all_are_away_the_last_resort_answers_and_where_they_fail_nobody_does() -> None:
    away = failing(ErrorCode.UNAVAILABLE)
    assert await answer(chained(Model("a", away), Model("b", away), Model("last"))) == (
        "last: some last: words"
    )
    assert (await error_of(chained(Model("a", away), Model("b", failing()), Model("last")))).code is (
        ErrorCode.UPSTREAM_FAILED
    )


async def test_who_does_not_see_is_told_that_images_are_left_out() -> None:
    blind, seeing = Model("b", failing()), Model("c")
    links = (ModelLink(model="b"), ModelLink(model="c", sees_images=True))
    chain = chained(
        Model("a", failing()), blind, seeing, Model("last"), fallbacks=links, attachments=(IMAGE, TEXT)
    )
    await answer(chain)
    assert [one.is_left_out for one in blind.asked[0].attachments] == [True, False]
    assert seeing.asked[0].attachments == (IMAGE, TEXT)


async def test_files_count_in_what_the_next_must_be_able_to_read() -> None:
    second, long = Model("b"), TEXT.model_copy(update={"max_chars": 9_000})
    links = (ModelLink(model="b", context_tokens=2_000), ModelLink(model="c", context_tokens=4_000))
    chain = chained(
        Model("a", failing()), second, Model("c"), Model("last"), fallbacks=links, attachments=(long,)
    )
    await answer(chain)
    assert (second.asked, chain.answering) == ([], "c")


async def test_each_is_asked_by_its_own_name_and_params_and_knows_who_follows() -> None:
    hot = GenerationParams(temperature=1.5)
    first, second, third = Model("a", failing()), Model("b", failing()), Model("c", failing())
    links = (ModelLink(model="b", params=hot), ModelLink(model="nobody's"), ModelLink(model="c"))
    chain = chained(first, second, third, Model("last"), fallbacks=links)
    assert (await error_of(chain)).code is ErrorCode.UPSTREAM_FAILED
    jobs = [model.asked[0] for model in (first, second, third)]
    assert [job.model for job in jobs] == ["a", "b", "c"]
    assert [job.params.temperature for job in jobs] == [None, 1.5, None]
    # One that this service does not serve follows nobody.
    assert [[link.model for link in job.fallbacks] for job in jobs] == [["b", "c"], ["c"], []]


async def test_a_model_that_the_prompt_does_not_fit_into_is_passed_over() -> None:
    small, large = Model("small"), Model("large")
    links = (ModelLink(model="small", context_tokens=100), ModelLink(model="large", context_tokens=5000))
    messages = (ChatMessage(role="user", content="x" * 3000),)
    chain = chained(Model("a", failing()), small, large, Model("last"), fallbacks=links, messages=messages)
    assert (await answer(chain)).startswith("large: ")
    assert small.asked == []


async def test_a_model_goes_on_only_with_what_is_its_own() -> None:
    alone = chained(Model("a"), Model("last"))
    assert await alone.goes_on("a: some ")
    assert not await alone.goes_on("last: some ")
    assert not await chained(Model("a", can_continue=False), Model("last")).goes_on("a: some ")
    assert not await chained(Model("a"), Model("b"), Model("last")).goes_on("a: some ")


def test_a_chain_that_nobody_serves_is_empty() -> None:
    job = job_for("x").model_copy(update={"fallbacks": (ModelLink(model="y"),)})
    assert ModelChain(Catalogue([Model("last")]), job).is_empty


# -- what stands before a provider ------------------------------------------------------------------------


async def test_a_provider_that_fails_in_a_row_is_passed_over_without_being_asked() -> None:
    circuits = Circuits()
    guards = ProviderGuards({"a": 4, "b": 4}, circuits)
    first = Model("a", failing())
    for _ in range(FAILURES + 2):
        assert (await answer(chained(first, Model("b"), Model("last"), guards=guards))).startswith("b: ")
    assert len(first.asked) == FAILURES
    assert circuits.states == {"a-answers": "open", "b-answers": "closed"}


@pytest.mark.parametrize(
    "error",
    [failing(retryable=False), failing(ErrorCode.MODEL_NOT_FOUND), failing(ErrorCode.UNAVAILABLE)],
    ids=["refused", "no-model", "connection-refused"],
)
async def test_what_is_the_callers_or_costs_no_time_opens_no_circuit(error: ParleyError) -> None:
    guards = ProviderGuards({"a": 4, "b": 4})
    first = Model("a", error)
    for _ in range(FAILURES + 2):
        await answer(chained(first, Model("b"), Model("last"), guards=guards))
    assert len(first.asked) == FAILURES + 2


async def test_a_provider_with_as_many_calls_as_it_may_have_is_passed_over_or_waited_for() -> None:
    guards = ProviderGuards({"a": 1})
    busy, free = Model("a"), Model("b")
    busy.may_end.clear()
    async with (
        asyncio.TaskGroup() as tasks,
        aclosing(chained(busy, Model("last"), guards=guards).generate()) as one,
    ):
        await anext(one)
        assert (await answer(chained(busy, free, Model("last"), guards=guards))).startswith("b: ")
        alone = tasks.create_task(answer(chained(busy, Model("last"), guards=guards)))
        await asyncio.sleep(0)
        assert len(busy.asked) == 1
        await one.aclose()
        busy.may_end.set()
        assert (await alone).startswith("a: ")


async def test_a_slot_is_given_back_by_a_call_that_is_dropped() -> None:
    guards = ProviderGuards({"a": 1})
    for _ in range(3):
        async with aclosing(chained(Model("a"), Model("last"), guards=guards).generate()) as chunks:
            await anext(chunks)
    assert await answer(chained(Model("a"), Model("last"), guards=guards)) == "a: some a: words"


async def test_a_model_that_says_when_to_ask_again_is_not_asked_before_then_while_others_are() -> None:
    guards = ProviderGuards({"a": 4, "b": 4})
    first = Model("a", ParleyError(ErrorCode.OVERLOADED, "later", retry_after_s=60))
    second = Model("b")
    for _ in range(3):
        assert (await answer(chained(first, second, Model("last"), guards=guards))).startswith("b: ")
    assert len(first.asked) == 1
    # Alone it is asked all the same, and its own words on when reach the caller.
    error = await error_of(chained(first, Model("last"), guards=guards))
    assert (error.retry_after_s, len(first.asked)) == (60, 2)
