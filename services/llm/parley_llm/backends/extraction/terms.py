"""The words of a question that count, how much each counts, and how a text is matched against them."""

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from parley_llm.backends.extraction.stemming import Stemmer
from parley_llm.backends.extraction.vocabulary import STOP_WORDS, SYNONYM_GROUPS, WEAK_WORDS

_WORD = re.compile(r"[^\W_]+")
_POSSESSIVE = re.compile(r"['\N{RIGHT SINGLE QUOTATION MARK}]s\b")
_COMPOUND = re.compile(r"[^\W_]+(?:[-_./][^\W_]+)+")
_NUMBER_WANTED = re.compile(
    r"\bhow (?:many|much|long|often|big|large|old|fast|far|high)\b|\bwhen\b"
    r"|\bwhat (?:percentage|number|year|port|size)\b"
)
_CODE_WANTED = re.compile(
    r"\bhow (?:do|can|could|should|to|would)\b|\b(?:command|option|flag|file|setting|variable)\b"
)
_DEFINITION_WANTED = re.compile(r"^\s*(?:what (?:is|are|does)|who (?:is|are)|define|explain)\b")
_REASON_WANTED = re.compile(r"\bwhy\b|\breason\b")

WEAK_STRENGTH = 0.4
SYNONYM_MATCH = 0.65


class Want(Enum):
    """What shape of answer a question asks for."""

    NUMBER = "number"
    CODE = "code"
    DEFINITION = "definition"
    REASON = "reason"


@dataclass(frozen=True, slots=True)
class Term:
    """A word of the question: its stem, the stems that answer for it, and how telling it is (0 to 1)."""

    stem: str
    synonyms: frozenset[str]
    strength: float

    def match(self, stems: frozenset[str]) -> float:
        """Return how well a text with these stems holds the term, from 0 to 1."""
        if self.stem in stems:
            return 1.0
        return 0.0 if self.synonyms.isdisjoint(stems) else SYNONYM_MATCH


@dataclass(frozen=True, slots=True)
class Question:
    """A question as its terms in order, its neighbouring pairs of terms, and the shapes it asks for."""

    terms: tuple[Term, ...]
    pairs: tuple[tuple[str, str], ...]
    wants: frozenset[Want]


def normalized(text: str) -> str:
    """Return text in one form: ligatures and full-width forms resolved, lower case, no possessives."""
    return _POSSESSIVE.sub("", unicodedata.normalize("NFKC", text).lower())


def words(text: str) -> list[str]:
    """Return the words of a text in order, lower case; compounds come as their parts."""
    return _WORD.findall(normalized(text))


class TermReader:
    """Reads questions into terms and texts into the stems that could match them."""

    def __init__(self) -> None:
        self._stem = Stemmer()
        self._synonyms: dict[str, frozenset[str]] = {}
        for group in SYNONYM_GROUPS:
            stems = frozenset(self._stem(word) for word in group.split())
            for stem in stems:
                self._synonyms[stem] = self._synonyms.get(stem, frozenset()) | stems

    def question(self, text: str) -> Question:
        """Return the question's terms; a word inside a name such as `apt-get` is never a stop word."""
        plain = normalized(text)
        in_names = {part for name in _COMPOUND.findall(plain) for part in _WORD.findall(name)}
        kept = [word for word in _WORD.findall(plain) if word in in_names or word not in STOP_WORDS]
        stems = [self._stem(word) for word in kept]
        terms = tuple(self._term(stem) for stem in dict.fromkeys(stems))
        pairs = tuple(pair for pair in pairwise(stems) if pair[0] != pair[1])
        return Question(terms=terms, pairs=pairs, wants=_wants(plain))

    def stems(self, text: str) -> tuple[str, ...]:
        """Return the stems of a text in order."""
        return tuple(self._stem(word) for word in words(text))

    def _term(self, stem: str) -> Term:
        synonyms = self._synonyms.get(stem, frozenset()) - {stem}
        return Term(stem=stem, synonyms=synonyms, strength=WEAK_STRENGTH if stem in WEAK_WORDS else 1.0)


def _wants(plain: str) -> frozenset[Want]:
    patterns = (
        (Want.NUMBER, _NUMBER_WANTED),
        (Want.CODE, _CODE_WANTED),
        (Want.DEFINITION, _DEFINITION_WANTED),
        (Want.REASON, _REASON_WANTED),
    )
    return frozenset(want for want, pattern in patterns if pattern.search(plain))
