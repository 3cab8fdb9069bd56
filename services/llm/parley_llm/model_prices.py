"""What tokens cost: as the operator says, else the provider's list, else what the provider publishes."""

import json
import re
from collections.abc import Collection, Mapping
from importlib import resources

from parley_contracts.llm import ModelInfo, ModelPrice
from parley_contracts.prices import Prices, cost_of
from parley_contracts.turns import TokenUsage

MOST_KNOWN = 10_000
_DATED = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$")
"""How a provider names a version of a model, which costs what the model costs."""


class ModelPrices:
    """Prices of models, and of calls. What nobody tells stays unknown, and costs nothing.

    Prices of providers are in US dollars. What the operator sets goes before, in whatever he counts in.
    """

    def __init__(
        self, set_prices: Prices | None = None, published: Mapping[str, ModelPrice] | None = None
    ) -> None:
        self._set = set_prices or Prices({})
        self._published = published or {}
        self._known: dict[str, ModelPrice] = {}

    def priced(self, info: ModelInfo) -> ModelInfo:
        """Return a listed model with its price, which is remembered for its calls."""
        price = self._set.of(info.id) or info.price or self._published.get(_DATED.sub("", info.id))
        if price is None:
            self._known.pop(info.id, None)
            return info
        if len(self._known) < MOST_KNOWN or info.id in self._known:
            self._known[info.id] = price
        return info if price == info.price else info.model_copy(update={"price": price})

    def of(self, model: str) -> ModelPrice | None:
        """Return what a model costs, as it was listed last; None where nobody knows."""
        return self._known.get(model) or self._set.of(model)

    def cost_micros(self, model: str, usage: TokenUsage) -> int:
        """Return what a call costs in micros, rounded up; nothing where no price is known."""
        price = self.of(model)
        return 0 if price is None else cost_of(price, usage)


def published_prices(providers: Collection[str]) -> dict[str, ModelPrice]:
    """Return the prices, by model, that these providers publish and whose APIs do not tell them."""
    text = resources.files("parley_llm").joinpath("published_prices.json").read_text(encoding="utf-8")
    told: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
        name: models for name, models in json.loads(text).items() if name in providers
    }
    return {
        f"{provider}/{model}": ModelPrice(prompt=prompt, cached=cached, completion=completion)
        for provider, models in told.items()
        for model, (prompt, cached, completion) in models.items()
    }
