"""Which passages an answer cites by the marks `[1]`, `[1, 2]`, `[1-3]`; and what it rests on."""

import re
from collections.abc import Sequence

from parley_contracts.citations import Citation
from parley_contracts.turns import Support

_PART = r"\d{1,3}(?:\s*[-\u2013]\s*\d{1,3})?"
# Some models write the brackets of another script, and a place behind the number: 【1†L2-L4】.
_MARK = re.compile(rf"(?<!\\)[\[\u3010]({_PART}(?:\s*,\s*{_PART})*)(?:\u2020[^\u3011\n]{{0,40}})?[\]\u3011]")
_NUMBERS = re.compile(r"\d+")
_CODE = re.compile(
    r"^[ \t]*(?P<fence>`{3,}|~{3,}).*?(?:^[ \t]*(?P=fence)|\Z)"
    r"|(?<!`)(?P<ticks>`{1,3})(?!`)[^\n]+?(?<!`)(?P=ticks)(?!`)",
    re.DOTALL | re.MULTILINE,
)


def cited(text: str, citations: Sequence[Citation]) -> tuple[Citation, ...]:
    """Return those citations whose number stands in `text`, outside of code, in the order of numbers."""
    known = {citation.n for citation in citations}
    numbers = {
        number
        for mark in _MARK.findall(_CODE.sub("`", text))
        for part in mark.split(",")
        for number in _of(part, known)
    }
    return tuple(citation for citation in citations if citation.n in numbers)


def _of(part: str, known: set[int]) -> range:
    """Return the numbers of `2` or `1-3`; none of a range with an unknown end: it may be a regex's."""
    first, *last = map(int, _NUMBERS.findall(part))
    if last and not (first in known and last[0] in known):
        return range(0)
    return range(first, (last[0] if last else first) + 1)


def support(given: Sequence[Citation], cited_: Sequence[Citation], *, is_searched: bool) -> Support | None:
    """Return what an answer rests on of what its model was given; None: nothing was searched."""
    if cited_:
        return Support.CITED
    if given:
        return Support.UNCITED
    return Support.NOTHING_FOUND if is_searched else None
