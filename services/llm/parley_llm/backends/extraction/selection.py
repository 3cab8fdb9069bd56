"""Which of the ranked units are quoted, and with which of their neighbours."""

import re
from dataclasses import dataclass

from parley_llm.backends.extraction.ranking import RankedUnit, Ranking
from parley_llm.backends.extraction.terms import words
from parley_llm.backends.extraction.units import Unit, UnitKind

MOST_QUOTES = 4
MOST_FOLLOWERS = 8
LONGEST_ANTECEDENT_WORDS = 35
LEAST_SHARE_OF_BEST = 0.62
LEAST_GAIN = 0.1
LEAST_SHARE_WITH_NEWS = 0.45
MUCH_GAIN = 0.12
LEAST_SHARE_ALONE = 0.85
DUPLICATE_OVERLAP = 0.75

_POINTS_BACK = re.compile(
    r"^(?:it|this|these|they|those|such|he|she|then|otherwise|however|also|instead|therefore|in this case)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Quote:
    """Units of one passage quoted together, in reading order. `passage` is its index."""

    passage: int
    positions: tuple[int, ...]
    units: tuple[Unit, ...]


def select_quotes(ranking: Ranking) -> tuple[Quote, ...]:
    """Return one to four quotes, the best first; the others in reading order. None when nothing matches."""
    chosen: list[RankedUnit] = []
    quotes: list[Quote] = []
    for candidate in ranking.ranked:
        if len(quotes) == MOST_QUOTES:
            break
        if not _is_worth_quoting(ranking, candidate, chosen):
            continue
        quote = _quote(ranking, candidate, alone=bool(chosen))
        if any(_repeats(quote, other) for other in quotes):
            continue
        chosen.append(candidate)
        quotes.append(quote)
    return tuple(_in_reading_order(_joined(quotes, ranking)))


def _is_worth_quoting(ranking: Ranking, candidate: RankedUnit, chosen: list[RankedUnit]) -> bool:
    """Whether a candidate says what the chosen do not, or says nearly as much as the best."""
    if candidate.coverage <= 0:
        return False
    if not chosen:
        return True
    best = chosen[0]
    if candidate.score < LEAST_SHARE_WITH_NEWS * best.score:
        return False
    covered = [max(column) for column in zip(*(one.matches for one in chosen), strict=True)]
    total = sum(ranking.weights) or 1.0
    gain = sum(
        weight * max(match - before, 0.0)
        for weight, match, before in zip(ranking.weights, candidate.matches, covered, strict=True)
    )
    share, gain = candidate.score / best.score, gain / total
    if gain >= MUCH_GAIN and candidate.passage == best.passage:
        return True
    return share >= LEAST_SHARE_ALONE or (gain >= LEAST_GAIN and share >= LEAST_SHARE_OF_BEST)


def _quote(ranking: Ranking, ranked: RankedUnit, *, alone: bool) -> Quote:
    """Return the unit with the neighbours without which it would be a fragment."""
    units = ranking.passages[ranked.passage]
    positions = [ranked.position]
    if ranked.unit.introduces:
        positions.extend(_followers(units, ranked.position))
    elif ranked.unit.kind in {UnitKind.ITEM, UnitKind.CODE}:
        positions = _with_introduction(units, ranked.position)
    elif not alone and _points_back(units, ranked.position):
        positions.insert(0, ranked.position - 1)
    elif ranked.opens_answer and _goes_on(units, ranked.position):
        positions.append(ranked.position + 1)
    return _quote_of(units, ranked.passage, positions)


def _quote_of(units: tuple[Unit, ...], passage: int, positions: list[int]) -> Quote:
    return Quote(passage, tuple(positions), tuple(units[position] for position in positions))


def _followers(units: tuple[Unit, ...], position: int) -> list[int]:
    """Return what a sentence ending in a colon introduces: its items or rows, its code, or one sentence."""
    followers: list[int] = []
    for follower in range(position + 1, min(position + 1 + MOST_FOLLOWERS, len(units))):
        kind = units[follower].kind
        if kind is UnitKind.HEADING or (kind is UnitKind.SENTENCE and followers):
            break
        followers.append(follower)
        if kind in {UnitKind.SENTENCE, UnitKind.CODE}:
            break
    return followers


def _with_introduction(units: tuple[Unit, ...], position: int) -> list[int]:
    """Return the place of an item or of code, after the place of the sentence that introduces it."""
    kind = units[position].kind
    for before in range(position - 1, -1, -1):
        if units[before].kind is UnitKind.SENTENCE:
            is_near = kind is UnitKind.CODE and before == position - 1
            return [before, position] if units[before].introduces or is_near else [position]
        if units[before].kind is not kind:
            break
    return [position]


def _points_back(units: tuple[Unit, ...], position: int) -> bool:
    """Whether a sentence needs the one before it, which stands in the same paragraph and is short."""
    if position == 0 or not _POINTS_BACK.match(units[position].text):
        return False
    before = units[position - 1]
    return (
        before.kind is UnitKind.SENTENCE
        and before.block == units[position].block
        and before.is_whole
        and not before.asks
        and len(before.text.split()) <= LONGEST_ANTECEDENT_WORDS
    )


def _goes_on(units: tuple[Unit, ...], position: int) -> bool:
    """Whether a further sentence of the same paragraph follows that stands without what comes after it."""
    if position + 1 == len(units):
        return False
    following = units[position + 1]
    return (
        following.kind is UnitKind.SENTENCE
        and following.block == units[position].block
        and following.is_whole
        and not following.introduces
        and len(following.text.split()) <= LONGEST_ANTECEDENT_WORDS
    )


def _repeats(quote: Quote, other: Quote) -> bool:
    """Whether a quote says again what another one says: overlapping passages hold the same sentences."""
    if quote.passage == other.passage and set(quote.positions) <= set(other.positions):
        return True
    mine, theirs = ({word for unit in one.units for word in words(unit.text)} for one in (quote, other))
    smaller = min(len(mine), len(theirs)) or 1
    return len(mine & theirs) / smaller >= DUPLICATE_OVERLAP


def _joined(quotes: list[Quote], ranking: Ranking) -> list[Quote]:
    """Return the quotes with those that overlap or follow a better one in its paragraph joined to it."""
    joined: list[Quote] = []
    for quote in quotes:
        for place, other in enumerate(joined):
            if _follows(quote, other):
                positions = sorted({*quote.positions, *other.positions})
                joined[place] = _quote_of(ranking.passages[quote.passage], quote.passage, positions)
                break
        else:
            joined.append(quote)
    return joined


def _follows(quote: Quote, other: Quote) -> bool:
    """Whether a quote overlaps the other one, or is the next sentence of its paragraph."""
    if quote.passage != other.passage:
        return False
    if set(quote.positions) & set(other.positions):
        return True
    is_next = quote.positions[0] == other.positions[-1] + 1
    are_sentences = all(unit.kind is UnitKind.SENTENCE for unit in (*quote.units, *other.units))
    return is_next and are_sentences and quote.units[0].block == other.units[-1].block


def _in_reading_order(quotes: list[Quote]) -> list[Quote]:
    """Return the best quote, then the others of each passage in reading order, its own passage first."""
    if not quotes:
        return []
    best, *others = quotes
    return [best, *sorted(others, key=lambda one: (one.passage != best.passage, one.passage, one.positions))]
