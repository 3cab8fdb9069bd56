"""What tokens cost, as an operator's setting says it, by model."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Annotated

from pydantic import Field, TypeAdapter

from parley_contracts.llm import ModelPrice
from parley_contracts.turns import TokenUsage

MILLION = 1_000_000
ANY_MODEL = "*"

_Micros = Annotated[int, Field(ge=0, le=10**12)]
_PRICES: TypeAdapter[dict[str, tuple[_Micros, _Micros] | tuple[_Micros, _Micros, _Micros]]] = TypeAdapter(
    dict[str, tuple[_Micros, _Micros] | tuple[_Micros, _Micros, _Micros]]
)


def cost_of(price: ModelPrice, usage: TokenUsage) -> int:
    """Return what a call costs in micros, rounded up; what of a price is unknown costs nothing.

    Cached tokens cost as much as others where no price of theirs is known.
    """
    prompt, answer = price.prompt or 0, price.completion or 0
    cached = prompt if price.cached is None else price.cached
    # What Parley remembered costs nothing, though it counts.
    told = usage.prompt_tokens - usage.remembered_prompt_tokens
    written = usage.completion_tokens - usage.remembered_completion_tokens
    # A server may tell more cached tokens than the prompt has.
    in_cache = min(usage.cached_tokens - usage.remembered_prompt_tokens, told)
    asked = (told - in_cache) * prompt + in_cache * cached
    # A price a million tokens is the same number of micros a token; rounding up knows no last bits.
    return ceil(round(asked + written * answer, 6))


@dataclass(frozen=True, slots=True)
class Prices:
    """Micros a million tokens: of the prompt, of the answer, and of what of the prompt was in a cache."""

    by_model: Mapping[str, tuple[int, int, int]]

    @classmethod
    def parse(cls, text: str) -> "Prices":
        """Return the prices of a JSON object, where cached tokens cost as much as others unless it says so.

        Raises:
            ValueError: It is no such object (pydantic's error).
        """
        found = _PRICES.validate_json(text)
        return cls(
            {model: (one[0], one[1], one[2] if len(one) == 3 else one[0]) for model, one in found.items()}
        )

    def cost_micros(self, model: str | None, usage: TokenUsage) -> int:
        """Return what a call costs, rounded up; nothing where no price is known."""
        price = self.of(model or "")
        return 0 if price is None else cost_of(price, usage)

    def of(self, model: str) -> ModelPrice | None:
        """Return the price of a model as it is listed; None where none is known."""
        found = self.by_model.get(model, self.by_model.get(ANY_MODEL))
        if found is None:
            return None
        prompt, answer, cached = (micros / MILLION for micros in found)
        return ModelPrice(prompt=prompt, completion=answer, cached=cached)
