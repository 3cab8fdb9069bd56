"""What a unit loses for its form, whatever it says."""

import re

from parley_llm.backends.extraction.terms import Question, Want
from parley_llm.backends.extraction.units import Unit, UnitKind

PART_PENALTY = 0.12
POINTER_PENALTY = 0.15
ROW_PENALTY = 0.06
UNASKED_CODE_PENALTY = 0.15
JUNK_PENALTY = 0.8
MOST_NAVIGATION_WORDS = 8
LEAST_WORD_CHARS_SHARE = 0.4
LONG_WORDS = 45
SHORT_WORDS = 4

_POINTER = re.compile(
    r"^\W*(?:see\b|refer to\b)"
    r"|^\W*(?:for|more|further|additional)\b.{0,20}\b(?:details|information|documentation)\b"
    r"|\bsee (?:also|section|chapter|below|above)\b.{0,60}$",
    re.IGNORECASE,
)
_NAVIGATION = re.compile(
    r"^\W*(?:see|refer to|read on|cf\.?)\b"
    r"|^\W*(?:each|every) (?:row|line|column|entry|item|box|arrow)\b\D*$"
    r"|^\W*(?:this|the following|the next) (?:table|list|figure|section|chapter|page)\b\D*$"
    r"|\b(?:is|are) (?:shown|listed|described|explained) (?:below|above|here)\b",
    re.IGNORECASE,
)


def penalty(question: Question, unit: Unit, length: int) -> float:
    """Return what a unit loses for being a part, too short to say something, or too long to read."""
    lost = 0.0 if unit.is_whole else PART_PENALTY
    if length < SHORT_WORDS and unit.kind is UnitKind.SENTENCE:
        lost += 0.2
    if _POINTER.search(unit.text):
        lost += POINTER_PENALTY
    if unit.kind is UnitKind.ROW:
        lost += ROW_PENALTY
    if unit.kind is UnitKind.CODE and Want.CODE not in question.wants:
        lost += UNASKED_CODE_PENALTY
    if _is_junk(unit, length):
        lost += JUNK_PENALTY
    return lost + 0.002 * max(length - LONG_WORDS, 0)


def _is_junk(unit: Unit, length: int) -> bool:
    """Whether a unit only leads the reader's eye, or is drawn rather than written."""
    if unit.names_columns:
        return True
    if length <= MOST_NAVIGATION_WORDS and _NAVIGATION.search(unit.text):
        return True
    written = "".join(unit.text.split())
    return sum(char.isalnum() for char in written) < LEAST_WORD_CHARS_SHARE * len(written)
