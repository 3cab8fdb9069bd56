"""What models cost: as the operator says, else their server, else what is published; or nobody knows."""

from typing import Any

import pytest
from parley_contracts.llm import ModelInfo, ModelPrice
from parley_contracts.prices import Prices, cost_of
from parley_contracts.turns import TokenUsage
from parley_llm.backends.openai_prices import told_price
from parley_llm.model_prices import ModelPrices, published_prices
from parley_llm.models import model_prices
from parley_llm.settings import LlmSettings

TOLD = ModelPrice(prompt=1, cached=0.5, completion=4)


def info(model_id: str, price: ModelPrice | None = None) -> ModelInfo:
    return ModelInfo(id=model_id, pool="openai", context_tokens=1, owned_by="us", price=price)


def test_the_operator_s_word_goes_before_the_server_s_and_that_before_what_is_published():
    published = {"openai/a": ModelPrice(prompt=9)}
    set_prices = Prices.parse('{"openai/b": [2000000, 3000000]}')
    prices = ModelPrices(set_prices, published)

    assert prices.priced(info("openai/b", TOLD)).price == ModelPrice(prompt=2, cached=2, completion=3)
    assert prices.priced(info("openai/a", TOLD)).price == TOLD
    assert prices.priced(info("openai/a-2025-01-31")).price == ModelPrice(prompt=9)
    assert prices.priced(info("openai/a-mini")).price is None


def test_a_call_costs_what_its_model_was_listed_with():
    prices = ModelPrices()
    prices.priced(info("openai/a", TOLD))
    usage = TokenUsage(prompt_tokens=1_000, cached_tokens=400, completion_tokens=100)

    assert prices.cost_micros("openai/a", usage) == 600 + 200 + 400
    assert prices.cost_micros("openai/unheard-of", usage) == 0
    prices.priced(info("openai/a"))
    assert prices.cost_micros("openai/a", usage) == 0


@pytest.mark.parametrize(
    ("price", "micros"),
    [
        (ModelPrice(prompt=0.15, completion=0.6), 2),
        (ModelPrice(prompt=0.1, completion=0.2), 1),
        (ModelPrice(completion=1), 2),
        (ModelPrice(prompt=1, cached=0), 1),
        (ModelPrice(), 0),
    ],
    ids=["rounded-up", "binary-fractions", "prompt-unknown", "cached-free", "unknown"],
)
def test_a_cost_is_rounded_up_to_the_micro_and_what_is_unknown_costs_nothing(price: ModelPrice, micros: int):
    usage = TokenUsage(prompt_tokens=3, cached_tokens=2, completion_tokens=2)

    assert cost_of(price, usage) == micros


@pytest.mark.parametrize(
    ("pricing", "price"),
    [
        (
            {"prompt": "0.0000015", "completion": "0.000006", "input_cache_read": "0.00000075"},
            ModelPrice(prompt=1.5, cached=0.75, completion=6),
        ),
        ({"prompt": "0", "completion": "0"}, ModelPrice(prompt=0, completion=0)),
        ({"prompt": "-1", "completion": "-1"}, None),
        ({"prompt": "nan", "completion": True, "input_cache_read": "inf"}, None),
        ({"prompt": ["0.1"], "completion": "free"}, None),
        ("cheap", None),
        (None, None),
    ],
    ids=["told", "free", "router", "no-numbers", "other-shapes", "text", "nothing"],
)
def test_a_list_s_prices_a_token_are_ours_a_million(pricing: Any, price: ModelPrice | None):
    assert told_price({"id": "m", "pricing": pricing}) == price


def test_what_is_published_holds_for_the_provider_s_own_server_alone():
    own = LlmSettings.model_validate({"PARLEY_LLM_OPENAI_BASE_URL": "https://api.openai.com/v1"})
    other = LlmSettings.model_validate({"PARLEY_LLM_OPENAI_BASE_URL": "https://api.openai.com.example/v1"})

    assert model_prices(own).priced(info("openai/gpt-4o-mini")).price == ModelPrice(
        prompt=0.15, cached=0.075, completion=0.6
    )
    assert model_prices(own).priced(info("anthropic/claude-sonnet-4-5-20250929")).price is None
    assert model_prices(other).priced(info("openai/gpt-4o-mini")).price is None


def test_every_published_price_is_one():
    prices = published_prices({"openai", "anthropic"})

    assert len(prices) > 10
    for name, price in prices.items():
        assert name.startswith(("openai/", "anthropic/"))
        assert 0 < (price.cached or 0) < (price.prompt or 0) < (price.completion or 0)
