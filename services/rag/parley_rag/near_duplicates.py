"""Which texts say nearly the same as one that is shown already."""

import re

_WORD = re.compile(r"\w+|[^\w\s]")
_RUN_WORDS = 3
_LEAST_SHARED = 0.9  # of the runs of the text that has more; one word in thirty differs then
_Runs = set[tuple[str, ...]]


class ShownTexts:
    """The texts shown so far, each as its runs of three words.

    Texts whose numbers differ are never nearly the same: nothing else tells the rows of a table, versions and
    dates apart.
    """

    def __init__(self) -> None:
        self._runs_by_numbers: dict[tuple[str, ...], list[_Runs]] = {}

    def add(self, text: str) -> bool:
        """Keep a text and return True, or return False when nearly the same one is kept already."""
        words = _WORD.findall(text.casefold())
        runs = _runs(words)
        numbers = sorted(word for word in words if not word.isalpha() and any(map(str.isdigit, word)))
        kept = self._runs_by_numbers.setdefault(tuple(numbers), [])
        if any(_are_alike(runs, other) for other in kept):
            return False
        kept.append(runs)
        return True


def _runs(words: list[str]) -> _Runs:
    if len(words) < _RUN_WORDS:
        return {tuple(words)}
    return set(zip(*(words[at:] for at in range(_RUN_WORDS)), strict=False))


def _are_alike(runs: _Runs, other: _Runs) -> bool:
    least = _LEAST_SHARED * max(len(runs), len(other))
    return min(len(runs), len(other)) >= least and len(runs & other) >= least
