"""Which passages an answer cites: the `[n]` marks in its text."""

import re
from collections.abc import Sequence

from parley_contracts.citations import Citation

_MARK = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")


def cited(text: str, citations: Sequence[Citation]) -> tuple[Citation, ...]:
    """Return those citations whose number stands in `text`, in the order of their numbers."""
    numbers = {int(number) for mark in _MARK.findall(text) for number in mark.split(",")}
    return tuple(citation for citation in citations if citation.n in numbers)
