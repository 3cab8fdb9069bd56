"""What turns may spend and what they cost, as settings say it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from parley_contracts.turns import TokenUsage
from parley_limits import Most
from pydantic import Field, TypeAdapter

MILLION = 1_000_000
ANY_MODEL = "*"
_KINDS = ("turns", "tokens", "micros")
_Price = Annotated[int, Field(ge=0, le=10**12)]
_PRICES: TypeAdapter[dict[str, tuple[_Price, _Price]]] = TypeAdapter(dict[str, tuple[_Price, _Price]])


def parse_most(text: str) -> Most:
    """Return what `turns=500,tokens=100000,micros=2000000` allows; what is left out is not limited.

    Raises:
        ValueError: It says something else.
    """
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = part.partition("=")
        is_number = number.isascii() and number.isdecimal() and len(number) <= 15
        if name not in _KINDS or name in found or not is_number:
            raise ValueError(f"{part!r} is no quota: turns=N, tokens=N or micros=N, with commas between")
        found[name] = int(number)
    return Most(**found)


@dataclass(frozen=True, slots=True)
class Prices:
    """Micros a million tokens of the prompt and of the answer, by model."""

    by_model: Mapping[str, tuple[int, int]]

    @classmethod
    def parse(cls, text: str) -> "Prices":
        """Return the prices of a JSON object; ValueError (of pydantic) for what is none."""
        return cls(_PRICES.validate_json(text))

    def cost_micros(self, model: str | None, usage: TokenUsage) -> int:
        """Return what a turn costs, rounded up; nothing where no price is known."""
        prompt, answer = self.by_model.get(model or "", self.by_model.get(ANY_MODEL, (0, 0)))
        parts = usage.prompt_tokens * prompt + usage.completion_tokens * answer
        return -(-parts // MILLION)
