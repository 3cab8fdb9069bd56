"""What models can do, as each kind of server tells it."""

from typing import Any

import pytest
from parley_contracts.prices import Prices
from parley_llm.backends.openai_capabilities import told_capabilities
from parley_llm.backends.served_models import ServedModels
from parley_llm.catalogue import Catalogue
from parley_llm.model_prices import ModelPrices
from parley_llm.models import slots_of
from parley_llm.settings import LlmSettings

from tests.fakes.scripted_answers import QUICK_MODEL


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, ()),
        ({"capabilities": None, "architecture": None}, ()),
        ({"capabilities": 7, "supported_parameters": "tools", "architecture": {"input_modalities": 3}}, ()),
        # Mistral
        ({"capabilities": {"function_calling": True, "vision": False, "completion_chat": True}}, ("tools",)),
        # llama.cpp
        ({"capabilities": ["completion", "multimodal"]}, ("vision",)),
        # LM Studio
        ({"capabilities": ["tool_use"]}, ("tools",)),
        # OpenRouter
        (
            {
                "supported_parameters": ["tools", "response_format", "reasoning", "seed"],
                "architecture": {"input_modalities": ["text", "image"]},
            },
            ("tools", "vision", "json", "reasoning"),
        ),
    ],
    ids=["nothing", "nulls", "nonsense", "mistral", "llama.cpp", "lm-studio", "openrouter"],
)
def test_a_list_is_read_in_the_words_of_its_server(entry: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert told_capabilities(entry) == expected


async def test_ollama_tells_what_each_model_can(ollama: ServedModels) -> None:
    assert {info.capabilities for info in await ollama.models()} == {("tools", "json")}


async def test_the_list_says_what_models_cost(claude: ServedModels) -> None:
    prices = Prices.parse(f'{{"anthropic/{QUICK_MODEL}": [3000000, 15000000, 300000]}}')

    listed = (await Catalogue([claude], prices=ModelPrices(prices)).list()).models

    assert {info.id: info.price and info.price.cached for info in listed} == {
        "anthropic/paced:ttft=50,gap=20,count=100": None,
        f"anthropic/{QUICK_MODEL}": 0.3,
    }


def test_a_provider_may_have_fewer_slots_than_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_LLM_OLLAMA_SLOTS", "4")

    assert slots_of(LlmSettings()) == {"ollama": 4}


def test_the_prices_of_the_gateway_are_those_of_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_GATEWAY_PRICES", '{"*": [1, 2]}')

    assert LlmSettings().llm_prices == '{"*": [1, 2]}'
