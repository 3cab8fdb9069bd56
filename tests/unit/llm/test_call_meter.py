"""Calls of models are counted under OpenTelemetry's names, with what they cost."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.prices import Prices
from parley_contracts.turns import CallTotals, TokenUsage
from parley_llm.call_meter import OTHER, CallMeter, MeteredModel
from parley_llm.language_model import Chunk, FinalChunk, ReasoningChunk, TextChunk
from parley_llm.model_prices import ModelPrices
from prometheus_client import CollectorRegistry, generate_latest

from tests.unit.llm.jobs import job_for

PRICES = '{"shop/large": [3000000, 15000000, 300000]}'
USAGE = TokenUsage(prompt_tokens=100, completion_tokens=40, cached_tokens=60)
COST_MICROS = 40 * 3 + 60 * 0.3 + 40 * 15
CHAT = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "shop", "gen_ai_request_model": "large"}
DURATION = "gen_ai_client_operation_duration_seconds"
FIRST = "gen_ai_client_operation_time_to_first_chunk_seconds"


class Clock:
    """Goes on by a second with each look."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


class Shop:
    """A model that thinks, writes and ends, or raises."""

    pool = "shop"
    can_continue = True

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.is_closed = False

    def serves(self, model_id: str) -> bool:
        return model_id.startswith("shop/")

    async def models(self) -> tuple[ModelInfo, ...]:
        return (ModelInfo(id="shop/large", pool="shop", context_tokens=1, owned_by="us"),)

    async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        del job, written
        try:
            yield ReasoningChunk("hm")
            yield TextChunk("a")
            if self.error is not None:
                raise self.error
            yield FinalChunk(USAGE, "stop")
        finally:
            self.is_closed = True


class Counted:
    """A metered model, and what its metrics say."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.registry = CollectorRegistry()
        self.shop = Shop(error)
        meter = CallMeter(self.registry, ModelPrices(Prices.parse(PRICES)))
        self.model = MeteredModel(self.shop, meter, clock=Clock())

    async def ask(self, model_id: str = "shop/large") -> list[Chunk]:
        return [chunk async for chunk in self.model.generate(job_for(model_id))]

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, CHAT | labels)


async def test_a_call_is_counted_with_its_times_tokens_and_cost() -> None:
    counted = Counted()

    chunks = await counted.ask()

    assert len(chunks) == 3
    assert isinstance(chunks[-1], FinalChunk)
    assert chunks[-1].calls == CallTotals(count=1, first_token_ms=1000, writing_ms=1000)
    assert counted.value(f"{DURATION}_sum", error_type="") == 2
    assert counted.value(f"{FIRST}_sum") == 1
    assert counted.value("gen_ai_client_token_usage_sum", gen_ai_token_type="input") == 100
    assert counted.value("gen_ai_client_token_usage_sum", gen_ai_token_type="output") == 40
    assert counted.value("parley_llm_cached_tokens_total") == 60
    assert counted.value("parley_llm_cost_micros_total") == COST_MICROS
    assert counted.value("parley_llm_tokens_per_second_sum") == 40


async def test_a_call_that_fails_is_counted_by_its_error() -> None:
    counted = Counted(ParleyError(ErrorCode.OVERLOADED, "no more"))
    await counted.model.models()

    with pytest.raises(ParleyError):
        await counted.ask()

    assert counted.value(f"{DURATION}_count", error_type="overloaded") == 1
    assert counted.value("gen_ai_client_token_usage_count", gen_ai_token_type="input") is None


async def test_a_call_that_is_stopped_is_counted_and_closed_at_once() -> None:
    counted = Counted()
    await counted.model.models()

    async with aclosing(counted.model.generate(job_for("shop/large"))) as chunks:
        await anext(chunks)

    assert counted.shop.is_closed
    assert counted.value(f"{DURATION}_count", error_type="cancelled") == 1


async def test_a_call_whose_task_is_cancelled_is_counted() -> None:
    counted = Counted(asyncio.CancelledError())
    await counted.model.models()

    with pytest.raises(asyncio.CancelledError):
        await counted.ask()

    assert counted.value(f"{DURATION}_count", error_type="cancelled") == 1


async def test_names_that_anybody_may_make_up_are_no_labels() -> None:
    counted = Counted(ParleyError(ErrorCode.MODEL_NOT_FOUND, "none"))

    for number in range(50):
        with pytest.raises(ParleyError):
            await counted.ask(f"shop/made-up-{number}")

    assert counted.value(f"{DURATION}_count", gen_ai_request_model=OTHER, error_type="model_not_found") == 50
    assert b"made-up" not in generate_latest(counted.registry)


async def test_a_metered_model_is_otherwise_the_model_itself() -> None:
    counted = Counted()

    assert (counted.model.pool, counted.model.can_continue) == ("shop", True)
    assert counted.model.serves("shop/large")
    assert not counted.model.serves("inn/large")


def test_money_is_rounded_up_and_an_unknown_model_costs_what_any_other_does() -> None:
    prices = Prices.parse('{"a": [150000, 600000], "*": [1, 0]}')
    usage = TokenUsage(prompt_tokens=10, completion_tokens=10)
    assert prices.cost_micros("a", usage) == 8
    assert prices.cost_micros("b", usage) == prices.cost_micros(None, usage) == 1
    assert Prices.parse("{}").cost_micros("a", usage) == 0


def test_prices_are_by_model_and_cached_tokens_cost_what_is_said() -> None:
    prices = Prices.parse('{"a": [150000, 600000, 75000], "b": [10, 20], "*": [1000000, 0]}')

    usage = TokenUsage(prompt_tokens=1000, completion_tokens=100, cached_tokens=600)
    assert prices.cost_micros("a", usage) == 165
    assert prices.cost_micros("a", TokenUsage(prompt_tokens=10, cached_tokens=900)) == 1
    assert prices.cost_micros("other", TokenUsage(prompt_tokens=3)) == 3
    assert prices.by_model["b"] == (10, 20, 10)
    listed = prices.of("a")
    assert listed is not None
    assert (listed.prompt, listed.completion, listed.cached) == (0.15, 0.6, 0.075)
    assert Prices({}).of("a") is None


@pytest.mark.parametrize("text", ["", "[]", '{"a": [1]}', '{"a": [1, 2, 3, 4]}', '{"a": [-1, 2]}'])
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's error, whose words are its own
        Prices.parse(text)
