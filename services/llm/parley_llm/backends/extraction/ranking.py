"""Which units of the passages answer a question best, and whether any does at all."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from parley_contracts.citations import Citation

from parley_llm.backends.extraction.terms import Question, Term, TermReader, Want
from parley_llm.backends.extraction.units import Unit, UnitKind, split_units

CONTEXT_MATCH = 0.5
NAME_MATCH = 0.3
PAIR_WEIGHT = 0.15
PASSAGE_WEIGHT = 0.2
RANK_WEIGHT = 0.12
NEIGHBOUR_WEIGHT = 0.08
SHAPE_WEIGHT = 0.12
PART_PENALTY = 0.12
SHORT_WORDS = 4
LONG_WORDS = 45
PAIR_REACH = 3

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
_DEFINING = re.compile(
    r"^(?:\W?\w+\W?[\s-]+){1,6}?(?:is|are|means?|refers? to|stands? for|describes?|provides?)\b"
)


@dataclass(frozen=True, slots=True)
class RankedUnit:
    """A unit with its place and its worth.

    `passage` and `position` are indexes; `matches` holds, a question term each, how well the unit and its
    context hold it; `coverage` is their weighted mean.
    """

    unit: Unit
    passage: int
    position: int
    matches: tuple[float, ...]
    coverage: float
    score: float


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


def rank_units(reader: TermReader, question: Question, citations: Sequence[Citation]) -> Ranking:
    """Return the units of the passages, best first."""
    passages = tuple(split_units(citation.text) for citation in citations)
    read = [
        _read_passage(reader, citation, units) for citation, units in zip(citations, passages, strict=True)
    ]
    weights = _weights(question.terms, [item for items in read for item in items])
    ranked: list[RankedUnit] = []
    for index, items in enumerate(read):
        names = frozenset(reader.stems(citations[index].document.name))
        ranked.extend(_rank_passage(question, weights, index, items, names))
    ranked.sort(key=lambda one: (-one.score, one.passage, one.position))
    relevance = max((_relevance(question.terms, one, read[one.passage]) for one in ranked), default=0.0)
    return Ranking(passages, tuple(ranked), weights, relevance)


def _read_passage(reader: TermReader, citation: Citation, units: tuple[Unit, ...]) -> list[_ReadUnit]:
    """Return the units with their stems and those of their context: headings, questions, introductions."""
    above = frozenset(reader.stems(citation.heading or ""))
    heading: frozenset[str] = frozenset()
    introduction: frozenset[str] = frozenset()
    introduced_block = -1
    read: list[_ReadUnit] = []
    for unit in units:
        stems = reader.stems(unit.text)
        own = frozenset(stems)
        if unit.kind in {UnitKind.SENTENCE, UnitKind.HEADING} and unit.block > introduced_block + 1:
            introduction = frozenset()
        read.append(_ReadUnit(unit, stems, own, above | heading | introduction))
        if unit.kind is UnitKind.HEADING or unit.asks:
            heading = own
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
        weights.append(term.strength * (0.35 + 0.65 * max(rarity, 0.0)))
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
        nearest = max(coverages[max(position - 1, 0) : position + 2], default=0.0)
        score = (
            coverages[position]
            + PAIR_WEIGHT * _pair_share(question, item.stems)
            + PASSAGE_WEIGHT * passage_coverage
            + RANK_WEIGHT / (index + 1)
            + NEIGHBOUR_WEIGHT * nearest
            + (SHAPE_WEIGHT * _shape(question, item) if coverages[position] > 0 else 0.0)
            - _penalty(item)
        )
        ranked.append(RankedUnit(item.unit, index, position, matches[position], coverages[position], score))
    return ranked


def _match(term: Term, item: _ReadUnit, names: frozenset[str]) -> float:
    """Return how well a unit holds a term, itself or by its context."""
    return max(term.match(item.own), CONTEXT_MATCH * term.match(item.context), NAME_MATCH * term.match(names))


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
    }
    return sum(shaped[want] for want in question.wants) / max(len(question.wants), 1)


def _defines(question: Question, text: str, stems: tuple[str, ...]) -> bool:
    """Whether the sentence opens with a term of the question and says what it is."""
    opening = frozenset(stems[:4])
    return bool(_DEFINING.match(text)) and any(term.stem in opening for term in question.terms)


def _penalty(item: _ReadUnit) -> float:
    """Return what a unit loses for being a part, too short to say something, or too long to read."""
    penalty = 0.0 if item.unit.is_whole else PART_PENALTY
    if len(item.stems) < SHORT_WORDS and item.unit.kind is UnitKind.SENTENCE:
        penalty += 0.2
    return penalty + 0.002 * max(len(item.stems) - LONG_WORDS, 0)


def _relevance(terms: tuple[Term, ...], one: RankedUnit, items: list[_ReadUnit]) -> float:
    """Return how much of the question a unit and its passage hold, rare or not: 1 is all of it."""
    total = sum(term.strength for term in terms)
    if not total:
        return 0.0
    in_passage = frozenset[str]().union(*(item.own | item.context for item in items))
    near = sum(term.strength * match for term, match in zip(terms, one.matches, strict=True)) / total
    around = sum(term.strength * term.match(in_passage) for term in terms) / total
    return 0.6 * near + 0.4 * around
