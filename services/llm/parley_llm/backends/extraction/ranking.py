"""Which units of the passages answer a question best, and whether any does at all."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from parley_contracts.citations import Citation

from parley_llm.backends.extraction.echoes import EchoFinder, own_text
from parley_llm.backends.extraction.penalties import SHORT_WORDS, penalty
from parley_llm.backends.extraction.terms import Question, Term, TermReader, Want
from parley_llm.backends.extraction.units import Unit, UnitKind, split_units

RARITY_WEIGHT = 0.65
CONTEXT_MATCH = 0.5
NAME_MATCH = 0.3
PAIR_WEIGHT = 0.15
LITERAL_WEIGHT = 0.2
PASSAGE_WEIGHT = 0.2
RETRIEVAL_WEIGHT = 0.5
SECTION_WEIGHT = 0.2
LEAST_SECTION_MATCH = 0.6
NEIGHBOUR_WEIGHT = 0.08
SHAPE_WEIGHT = 0.12
LENGTH_WEIGHT = 0.15
USUAL_WORDS = 20
PAIR_REACH = 3
ABSENT_WORD = 1.5
ABSENT_NAME = 2.5

_NUMBER = re.compile(r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|once|twice|daily|weekly)\b")
_CODE = re.compile(r"`[^`]+`|(?:^|\s)--?[a-z]\w*|/\w+/\w|\b\w+\(\)|^\s*[$#] ")
_DIRECTIVE = re.compile(
    r"^(?:to [a-z]+|use|run|call|set|add|open|press|choose|select|type|enter|edit|create|copy)\b"
    r"|\b(?:by|you can) [a-z]+",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"\b(?:because|since|so that|in order to|therefore|due to|reason|otherwise|avoid)\b", re.IGNORECASE
)
_VERDICT = re.compile(r"^\W*(?:yes|no)\b", re.IGNORECASE)
_DEFINING = re.compile(
    r"^(?:\W?\w+\W?[\s-]+){1,6}?(?:is|are|means?|refers? to|stands? for|describes?|provides?)\b"
)


@dataclass(frozen=True, slots=True)
class RankedUnit:
    """A unit with its place and its worth.

    `passage` and `position` are indexes; `matches` holds, a question term each, how well the unit and its
    context hold it; `coverage` is their weighted mean. `opens_answer` says that it is the first to follow a
    heading that asks nearly the same.
    """

    unit: Unit
    passage: int
    position: int
    matches: tuple[float, ...]
    coverage: float
    score: float
    opens_answer: bool = False


@dataclass(frozen=True, slots=True)
class Ranking:
    """The units of all passages: `passages[p][i]` is unit i of passage p. `relevance` is from 0 to 1."""

    passages: tuple[tuple[Unit, ...], ...]
    ranked: tuple[RankedUnit, ...]
    weights: tuple[float, ...]
    relevance: float


@dataclass(frozen=True, slots=True)
class _ReadUnit:
    unit: Unit
    stems: tuple[str, ...]
    own: frozenset[str]
    context: frozenset[str]
    section: frozenset[str]
    """Of the heading or question that it is the first to follow; empty for all further units."""


def rank_units(
    reader: TermReader, question: Question, echoes: EchoFinder, citations: Sequence[Citation]
) -> Ranking:
    """Return the units of the passages, best first, without those that only repeat the question."""
    passages = tuple(split_units(citation.text) for citation in citations)
    openings = _openings(citations)
    read = [
        _read_passage(reader, citation, units, opens_section=index in openings)
        for index, (citation, units) in enumerate(zip(citations, passages, strict=True))
    ]
    weights = _weights(question.terms, [item for items in read for item in items])
    ranked: list[RankedUnit] = []
    best = max((citation.score for citation in citations), default=0.0)
    for index, (citation, items) in enumerate(zip(citations, read, strict=True)):
        names = frozenset(reader.stems(citation.document.name))
        lag = 1 - citation.score / best if best > 0 else 0.0
        ranked.extend(
            replace(one, score=one.score - RETRIEVAL_WEIGHT * lag)
            for one in _rank_passage(question, weights, index, items, names)
            if not echoes.is_echo(one.unit)
        )
    ranked.sort(key=lambda one: (-one.score, one.passage, one.position))
    everything = frozenset[str]().union(*(item.own | item.context for items in read for item in items))
    everything |= frozenset(stem for one in citations for stem in reader.stems(one.document.name))
    needs = tuple(_need(term, everything) for term in question.terms)
    relevance = max(
        (_relevance(question.terms, needs, one, read[one.passage]) for one in ranked), default=0.0
    )
    return Ranking(passages, tuple(ranked), weights, relevance)


def _openings(citations: Sequence[Citation]) -> frozenset[int]:
    """Return the indexes of the passages that are the first given ones of their sections."""
    first: dict[tuple[str, str], int] = {}
    for index, citation in enumerate(citations):
        section = (citation.document.id, citation.heading or "")
        if section not in first or citation.start < citations[first[section]].start:
            first[section] = index
    return frozenset(first.values())


def _read_passage(
    reader: TermReader, citation: Citation, units: tuple[Unit, ...], *, opens_section: bool
) -> list[_ReadUnit]:
    """Return the units with their stems and those of their context: headings, questions, introductions."""
    above = frozenset(reader.stems(citation.heading or ""))
    heading: frozenset[str] = frozenset()
    innermost = (citation.heading or "").rpartition(" > ")[2] if opens_section else ""
    section = frozenset[str](reader.stems(innermost))
    introduction: frozenset[str] = frozenset()
    introduced_block = -1
    read: list[_ReadUnit] = []
    for unit in units:
        stems = reader.stems(own_text(unit))
        own = frozenset(stems)
        if unit.kind in {UnitKind.SENTENCE, UnitKind.HEADING} and unit.block > introduced_block + 1:
            introduction = frozenset()
        read.append(_ReadUnit(unit, stems, own, above | heading | introduction, section))
        section = frozenset[str]()
        if unit.kind is UnitKind.HEADING or unit.asks:
            heading = section = own
        elif unit.introduces:
            introduction, introduced_block = own, unit.block
        elif introduction and unit.kind is not UnitKind.SENTENCE:
            introduced_block = unit.block
    return read


def _weights(terms: tuple[Term, ...], read: list[_ReadUnit]) -> tuple[float, ...]:
    """Return a weight a term: its strength, lowered the more units hold it."""
    count = len(read)
    most = math.log((count + 1) / 0.5)
    weights: list[float] = []
    for term in terms:
        holding = sum(term.stem in item.own for item in read)
        rarity = math.log((count + 1) / (holding + 0.5)) / most
        weights.append(term.strength * (1 - RARITY_WEIGHT + RARITY_WEIGHT * max(rarity, 0.0)))
    return tuple(weights)


def _rank_passage(
    question: Question, weights: tuple[float, ...], index: int, items: list[_ReadUnit], names: frozenset[str]
) -> list[RankedUnit]:
    total = sum(weights) or 1.0
    in_passage = frozenset[str]().union(*(item.own | item.context for item in items))
    passage_coverage = (
        sum(weight * term.match(in_passage) for weight, term in zip(weights, question.terms, strict=True))
        / total
    )
    matches = [tuple(_match(term, item, names) for term in question.terms) for item in items]
    coverages = [sum(w * m for w, m in zip(weights, row, strict=True)) / total for row in matches]
    ranked: list[RankedUnit] = []
    for position, item in enumerate(items):
        if item.unit.kind is UnitKind.HEADING or item.unit.asks or not item.stems:
            continue
        section = _section_match(question, weights, item)
        nearest = max(coverages[max(position - 1, 0) : position + 2], default=0.0)
        score = (
            coverages[position] * _density(len(item.stems))
            + PAIR_WEIGHT * _pair_share(question, item.stems)
            + LITERAL_WEIGHT * _literal_share(question, item.unit.text)
            + PASSAGE_WEIGHT * passage_coverage
            + SECTION_WEIGHT * section
            + NEIGHBOUR_WEIGHT * nearest
            + (SHAPE_WEIGHT * _shape(question, item) if coverages[position] > 0 else 0.0)
            - penalty(question, item.unit, len(item.stems))
        )
        ranked.append(
            RankedUnit(item.unit, index, position, matches[position], coverages[position], score, section > 0)
        )
    return ranked


def _match(term: Term, item: _ReadUnit, names: frozenset[str]) -> float:
    """Return how well a unit holds a term, itself or by its context."""
    return max(term.match(item.own), CONTEXT_MATCH * term.match(item.context), NAME_MATCH * term.match(names))


def _density(length: int) -> float:
    """Return what matches in a unit of `length` words are worth: a long one holds words by chance."""
    return 1 / (1 - LENGTH_WEIGHT + LENGTH_WEIGHT * max(length, SHORT_WORDS) / USUAL_WORDS)


def _section_match(question: Question, weights: tuple[float, ...], item: _ReadUnit) -> float:
    """Return how well the heading that the unit follows holds the question; nothing when it is not near."""
    if not item.section:
        return 0.0
    held = sum(w * term.match(item.section) for w, term in zip(weights, question.terms, strict=True))
    share = held / (sum(weights) or 1.0)
    return share if share >= LEAST_SECTION_MATCH else 0.0


def _literal_share(question: Question, text: str) -> float:
    """Return the share of the question's paths, options and file names that stand in a text."""
    if not question.literals:
        return 0.0
    return sum(bool(literal.search(text)) for literal in question.literals) / len(question.literals)


def _pair_share(question: Question, stems: tuple[str, ...]) -> float:
    """Return the share of the question's neighbouring terms that stand near each other here."""
    if not question.pairs:
        return 0.0
    places: dict[str, list[int]] = {}
    for place, stem in enumerate(stems):
        places.setdefault(stem, []).append(place)
    near = sum(
        any(abs(a - b) <= PAIR_REACH for a in places.get(first, ()) for b in places.get(second, ()))
        for first, second in question.pairs
    )
    return near / len(question.pairs)


def _shape(question: Question, item: _ReadUnit) -> float:
    """Return how much of the shape that the question asks for the unit has."""
    text = item.unit.text
    has_code = item.unit.kind is UnitKind.CODE or bool(_CODE.search(text))
    shaped = {
        Want.NUMBER: float(bool(_NUMBER.search(text))),
        Want.CODE: (has_code + bool(_DIRECTIVE.search(text))) / 2,
        Want.DEFINITION: float(_defines(question, text, item.stems)),
        Want.REASON: float(bool(_REASON.search(text))),
        Want.VERDICT: float(bool(_VERDICT.search(text))),
    }
    return sum(shaped[want] for want in question.wants) / max(len(question.wants), 1)


def _defines(question: Question, text: str, stems: tuple[str, ...]) -> bool:
    """Whether the sentence opens with a term of the question and says what it is."""
    opening = frozenset(stems[:4])
    return bool(_DEFINING.match(text)) and any(term.stem in opening for term in question.terms)


def _need(term: Term, everything: frozenset[str]) -> float:
    """Return how much a term counts for relevance: more when no passage holds it, most for a name."""
    if term.match(everything) > 0:
        return term.strength
    return term.strength * (ABSENT_NAME if term.is_name else ABSENT_WORD)


def _relevance(
    terms: tuple[Term, ...], needs: tuple[float, ...], one: RankedUnit, items: list[_ReadUnit]
) -> float:
    """Return how much of the question a unit and its passage hold, rare or not: 1 is all of it."""
    total = sum(needs)
    if not total:
        return 0.0
    in_passage = frozenset[str]().union(*(item.own | item.context for item in items))
    near = sum(need * match for need, match in zip(needs, one.matches, strict=True)) / total
    around = sum(need * term.match(in_passage) for need, term in zip(needs, terms, strict=True)) / total
    return 0.6 * near + 0.4 * around
