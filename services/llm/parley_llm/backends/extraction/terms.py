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
_VERDICT_WANTED = re.compile(
    r"^\s*(?:is|are|was|were|do|does|did|can|could|may|must|should|will|would|has|have)\b"
)
_LITERAL = re.compile(
    r"(?<![\w/.-])(?:--?[a-z][\w-]*|/\w[\w./-]*\w|\.\w[\w.-]*|\w+(?:[._/]\w+)+)", re.IGNORECASE
)

WEAK_STRENGTH = 0.4
SYNONYM_MATCH = 0.65


class Want(Enum):
    """What shape of answer a question asks for."""

    NUMBER = "number"
    CODE = "code"
    DEFINITION = "definition"
    REASON = "reason"
    VERDICT = "verdict"


@dataclass(frozen=True, slots=True)
class Term:
    """A word of the question: its stem, the stems that answer for it, and how telling it is (0 to 1).

    `is_name` says that the question writes it as a name, so an answer about something else is none.
    """

    stem: str
    synonyms: frozenset[str]
    strength: float
    is_name: bool = False

    def match(self, stems: frozenset[str]) -> float:
        """Return how well a text with these stems holds the term, from 0 to 1."""
        if self.stem in stems:
            return 1.0
        return 0.0 if self.synonyms.isdisjoint(stems) else SYNONYM_MATCH


@dataclass(frozen=True, slots=True)
class Question:
    """A question as its terms in order, its neighbouring pairs of terms, and the shapes it asks for.

    `literals` match what it names in writing: paths, options, file names.
    """

    terms: tuple[Term, ...]
    pairs: tuple[tuple[str, str], ...]
    wants: frozenset[Want]
    literals: tuple[re.Pattern[str], ...] = ()


def normalized(text: str) -> str:
    """Return text in one form: ligatures and full-width forms resolved, lower case, no possessives."""
    return _POSSESSIVE.sub("", unicodedata.normalize("NFKC", text).lower())


def _names(text: str) -> frozenset[str]:
    """Return the words written with a capital after the first one, lower case; none where most are."""
    written = _WORD.findall(text)
    capital = [word.lower() for word in written[1:] if word[0].isupper()]
    return frozenset(capital) if len(capital) * 2 < len(written) else frozenset()


def _literals(text: str) -> tuple[re.Pattern[str], ...]:
    """Return a pattern for each path, option or file name in a question: `/tmp` is not in `/var/tmp`."""
    found = dict.fromkeys(_LITERAL.findall(text))
    return tuple(re.compile(rf"(?<![\w/.-]){re.escape(one)}(?![\w-])", re.IGNORECASE) for one in found)


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
        names = frozenset(self._stem(name) for name in _names(text))
        terms = tuple(self._term(stem, is_name=stem in names) for stem in dict.fromkeys(stems))
        pairs = tuple(pair for pair in pairwise(stems) if pair[0] != pair[1])
        return Question(terms=terms, pairs=pairs, wants=_wants(plain), literals=_literals(text))

    def stems(self, text: str) -> tuple[str, ...]:
        """Return the stems of a text in order."""
        return tuple(self._stem(word) for word in words(text))

    def _term(self, stem: str, *, is_name: bool) -> Term:
        synonyms = self._synonyms.get(stem, frozenset()) - {stem}
        strength = WEAK_STRENGTH if stem in WEAK_WORDS else 1.0
        return Term(stem=stem, synonyms=synonyms, strength=strength, is_name=is_name)


def _wants(plain: str) -> frozenset[Want]:
    patterns = (
        (Want.NUMBER, _NUMBER_WANTED),
        (Want.CODE, _CODE_WANTED),
        (Want.DEFINITION, _DEFINITION_WANTED),
        (Want.REASON, _REASON_WANTED),
        (Want.VERDICT, _VERDICT_WANTED),
    )
    return frozenset(want for want, pattern in patterns if pattern.search(plain))
