"""Units that repeat the question: an example of asking it is no answer to it."""

import re

from parley_llm.backends.extraction.terms import TermReader, words
from parley_llm.backends.extraction.units import Unit, UnitKind

LEAST_SHARE_REPEATED = 0.9
LONGEST_GAP_WORDS = 2
FEW_FURTHER_WORDS = 2
SHARE_OF_FURTHER_WORDS = 0.5

_ASKING = re.compile(
    r"\?\s*$|^\W*(?:how|what|which|when|where|why|who|whom|whose|is|are|was|were|do|does|did|can|could|may"
    r"|must|should|will|would|has|have)\b",
    re.IGNORECASE,
)
_COMMAND_SIGN = re.compile(r"(?:^|\s)[$%] \w|\buv run\b|(?:^|\s)--?[a-z]|\w\(.*[\"']|[=:]\s*[\[{\"']")
_QUOTED = re.compile(r"\"[^\"\n]+\"|(?<!\w)'[^'\n]+'(?!\w)|\u201c[^\u201d\n]+\u201d|`[^`\n]+`")
_AFTER_QUESTION = re.compile(r"\?\W*(?=\w)")


class EchoFinder:
    """Tells which units repeat one question."""

    def __init__(self, reader: TermReader, question: str) -> None:
        self._reader = reader
        self._asked: tuple[str, ...] = reader.stems(question) if _ASKING.search(question) else ()

    def is_echo(self, unit: Unit) -> bool:
        """Whether a unit is the question and little else, or a command or code that holds it."""
        if len(self._asked) <= 1:
            return False
        stems = self._reader.stems(unit.text)
        if not self._repeats(stems):
            return False
        further = len(stems) - len(self._asked)
        has_little_else = further <= max(FEW_FURTHER_WORDS, SHARE_OF_FURTHER_WORDS * len(self._asked))
        if not has_little_else and not is_command(unit):
            return False
        is_quoted = any(self._repeats(self._reader.stems(span)) for span in _QUOTED.findall(unit.text))
        # "How do I stop it? Run make down." answers what it repeats.
        return is_quoted or not _AFTER_QUESTION.search(unit.text)

    def _repeats(self, stems: tuple[str, ...]) -> bool:
        """Whether stems hold those of the question in order, from its first one on.

        A statement turns the first words of the question round, so it does not.
        """
        starts = (place for place, stem in enumerate(stems) if stem == self._asked[0])
        return any(self._share_from(stems, start) >= LEAST_SHARE_REPEATED for start in starts)

    def _share_from(self, stems: tuple[str, ...], start: int) -> float:
        place, held = start, 0
        for asked in self._asked:
            reach = stems[place : place + 1 + LONGEST_GAP_WORDS]
            if asked in reach:
                place += reach.index(asked) + 1
                held += 1
        return held / len(self._asked)


def is_command(unit: Unit) -> bool:
    """Whether a unit looks like a command or code."""
    return unit.kind is UnitKind.CODE or bool(_COMMAND_SIGN.search(unit.text))


def own_text(unit: Unit) -> str:
    """Return what a unit says itself: questions quoted in a command are what somebody might ask."""
    if not is_command(unit):
        return unit.text
    return _QUOTED.sub(lambda quoted: " " if _is_question(quoted.group()) else quoted.group(), unit.text)


def _is_question(quoted: str) -> bool:
    return quoted[1:-1].rstrip().endswith("?") and len(words(quoted)) > 1
