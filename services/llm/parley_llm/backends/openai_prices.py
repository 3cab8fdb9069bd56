"""What lists of models say that their models cost; OpenAI's own says nothing.

Source: https://openrouter.ai/docs/api-reference/list-available-models, in US dollars a token, as text; other
gateways follow it.
"""

import math
from collections.abc import Mapping
from typing import Any, cast

from parley_contracts.llm import ModelPrice

MILLION = 1_000_000


def told_price(entry: Mapping[str, Any]) -> ModelPrice | None:
    """Return what an entry of a list says a million tokens cost; None where it says nothing."""
    told = entry.get("pricing")
    if not isinstance(told, Mapping):
        return None
    pricing = cast(Mapping[str, Any], told)
    price = ModelPrice(
        prompt=_a_million(pricing.get("prompt")),
        cached=_a_million(pricing.get("input_cache_read")),
        completion=_a_million(pricing.get("completion")),
    )
    return None if price.prompt is None and price.completion is None else price


def _a_million(told: object) -> float | None:
    """Return a price a token as one a million; what is no price, such as the -1 of a router, is unknown."""
    if isinstance(told, bool) or not isinstance(told, str | int | float):
        return None
    try:
        price = float(told)
    except ValueError:
        return None
    return round(price * MILLION, 6) if math.isfinite(price) and 0 <= price < 1 else None
