"""The margins of PDF pages: which of the lines that may run stand there, apart from the body text.

A margin is where the other pages have no body text. What reads on into the body is kept wherever it stands:
losing text is worse than keeping a head.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from statistics import median

from parley_rag.load.pdf_layout import PageText, Spot, full_line_chars

EDGE_ROWS = 2
MIN_REPEATS = 3
MAX_ROW_LINES = 6
MAX_RUNNING_CHARS = 100
_CLAUSE_END = re.compile(r"[.!?;,:]$")
_SENTENCE_END = re.compile(r"[.!?][\"')\u201d\u2019]*$")
_MIN_SENTENCE_WORDS = 4
_MIN_FULL_CHARS = 40
_ROW_SHARE = 0.4  # of the type's size: what stands no further apart is one row
_APART_LEADINGS = 1.3
_LEADING_SIZES = (0.5, 2.5)  # of the type's size: which distances between rows may be the leading
_MIN_LEADINGS = 3
_TITLE_SIZES = 1.2
_SAME_SIZE_SHARE = 0.1
_BODY_PAGES_SHARE = 0.1  # of the pages with a running line, as many may have body text where it stands
_MIN_USUAL = 5
_USUAL_SHARE = 0.5  # of all pages: a line that runs on as many is at its place where its words are others
_Type = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page with its lines as rows from the top to the bottom; without spots every line is a row."""

    number: int
    page: PageText
    rows: tuple[tuple[int, ...], ...]
    row_of: Mapping[int, int]
    leading: float

    def inward(self, from_top: bool) -> Sequence[tuple[int, ...]]:
        return self.rows if from_top else self.rows[::-1]

    def spot(self, index: int) -> Spot | None:
        return self.page.spots[index] if self.page.spots else None

    def is_apart(self, one: int, other: int) -> bool | None:
        """Return whether two lines stand further apart than lines do; None when nothing is known of it."""
        first, second = self.spot(one), self.spot(other)
        if first is None or second is None:
            return None
        upper, lower = sorted((first, second), key=lambda spot: spot.first)
        return lower.first - upper.last > _APART_LEADINGS * self.leading


@dataclass(frozen=True, slots=True)
class Candidate:
    """A line that may run, by its words. `is_number`: nothing but one; `has_number`: words and the page's."""

    sheet: Sheet
    index: int
    is_number: bool
    has_number: bool


@dataclass(frozen=True, slots=True)
class _RunningLine:
    """What runs at one depth: on how many pages, whether apart from the body on most, and in which types."""

    pages: int
    is_apart: bool
    types: frozenset[_Type]


def sheets_of(pages: Sequence[PageText]) -> list[Sheet]:
    """Return pages as rows, each with its leading, or the usual one where it has few lines."""
    sizes = [spot.size for page in pages for spot in page.spots]
    size = median(sizes) if sizes else 0.0
    rows = [_rows(page, _ROW_SHARE * size) for page in pages]
    gaps = [_leadings(page, of_page, size) for page, of_page in zip(pages, rows, strict=True)]
    usual = median(every) if (every := [gap for of_page in gaps for gap in of_page]) else size
    return [
        Sheet(
            number,
            page,
            rows=rows[number],
            row_of={index: at for at, row in enumerate(rows[number]) for index in row},
            leading=median(gaps[number]) if len(gaps[number]) >= _MIN_LEADINGS else usual,
        )
        for number, page in enumerate(pages)
    ]


def _rows(page: PageText, tolerance: float) -> tuple[tuple[int, ...], ...]:
    if not page.spots:
        return tuple((index,) for index in range(len(page.lines)))
    rows: list[list[int]] = []
    for index in sorted(range(len(page.lines)), key=lambda index: page.spots[index].first):
        if rows and page.spots[index].first - page.spots[rows[-1][0]].first <= tolerance:
            rows[-1].append(index)
        else:
            rows.append([index])
    return tuple(tuple(row) for row in rows)


def _leadings(page: PageText, rows: Sequence[tuple[int, ...]], size: float) -> list[float]:
    if not page.spots:
        return []
    gaps = (page.spots[lower[0]].first - page.spots[upper[0]].last for upper, lower in pairwise(rows))
    least, most = _LEADING_SIZES
    return [gap for gap in gaps if least * size <= gap <= most * size]


def may_run(line: str) -> bool:
    """Return whether a line reads like a head: short, and no clause ends with it."""
    return len(line) <= MAX_RUNNING_CHARS and not _CLAUSE_END.search(line.rstrip())


class Margin:
    """The top or the bottom margin of all pages: which candidates stand in it, apart from the body."""

    def __init__(
        self, from_top: bool, sheets: Sequence[Sheet], candidates: Sequence[dict[int, Candidate]]
    ) -> None:
        self._from_top = from_top
        self._sheets = sheets
        self._candidates = candidates
        sizes = [spot.size for sheet in sheets for spot in sheet.page.spots]
        self._size = median(sizes) if sizes else 0.0
        # The first page often begins where the others have their heads.
        others = [other for sheet in sheets[1:] if (other := self._other_depth(sheet)) is not None]
        self._bodies = sorted(depth for depth, is_body in others if is_body)
        self._titles = sorted(depth for depth, is_body in others if not is_body)
        self._depths = sorted(
            (self._depth(spot), sheet.number, self._stands_apart(sheet, index), _type(spot))
            for sheet in sheets
            for index in candidates[sheet.number]
            if (spot := sheet.spot(index))
        )
        self._known: dict[int, _RunningLine | None] = {}

    def running(self, number: int) -> set[int]:
        """Return the lines of a page that run in this margin: from the page's edge to the body, if any."""
        sheet, here = self._sheets[number], self._candidates[number]
        rows = sheet.inward(self._from_top)
        count = 0
        while count < min(EDGE_ROWS, len(rows)) and self._is_in_margin(sheet, rows[count]):
            count += 1
        while 0 < count < len(rows) and self._reads_on(sheet, rows[count - 1], rows[count]):
            count -= 1
        running: set[int] = set()
        for row in rows[:count]:
            running.update(here.keys() & row or row)
        return running

    def _is_in_margin(self, sheet: Sheet, row: tuple[int, ...]) -> bool:
        here = self._candidates[sheet.number]
        found = [here[index] for index in row if index in here]
        if not found:
            return len(row) <= MAX_ROW_LINES and all(self._stands_in(sheet, index) for index in row)
        return all(self._is_at_common_depth(candidate) for candidate in found)

    def _stands_in(self, sheet: Sheet, index: int) -> bool:
        """Return whether a line stands in place and type of running lines: the head of a short chapter."""
        spot = sheet.spot(index)
        if spot is None or not may_run(sheet.page.lines[index]) or not self._stands_apart(sheet, index):
            return False
        found = self._line_at(round(self._depth(spot)))
        is_usual = found is not None and found.pages >= max(_MIN_USUAL, _USUAL_SHARE * len(self._sheets))
        return found is not None and is_usual and _type(spot) in found.types

    def _is_at_common_depth(self, candidate: Candidate) -> bool:
        """Return whether lines that may run stand at this depth on several pages, and body text on few."""
        spot = candidate.sheet.spot(candidate.index)
        if spot is None:
            return True
        if spot.size > _TITLE_SIZES * self._size and not candidate.is_number:
            return False
        found = self._line_at(round(self._depth(spot)))
        return found is not None and (found.is_apart or not candidate.has_number)

    def _line_at(self, depth: int) -> _RunningLine | None:
        """Return what runs at a depth; None where nothing does."""
        if depth not in self._known:
            self._known[depth] = self._find_line(depth)
        return self._known[depth]

    def _find_line(self, depth: int) -> _RunningLine | None:
        tolerance = max(1.0, _ROW_SHARE * self._size)
        begin = bisect_left(self._depths, depth - tolerance, key=itemgetter(0))
        end = bisect_right(self._depths, depth + tolerance, key=itemgetter(0))
        apart = {number: is_apart for _, number, is_apart, _ in self._depths[begin:end]}
        bodies = bisect_right(self._bodies, depth + tolerance)
        titles = bisect_right(self._titles, depth + tolerance)
        if len(apart) < MIN_REPEATS or bodies > _BODY_PAGES_SHARE * len(apart) or titles > len(apart):
            return None
        types = frozenset(kind for _, _, _, kind in self._depths[begin:end])
        return _RunningLine(len(apart), 2 * sum(apart.values()) >= len(apart), types)

    def _depth(self, spot: Spot) -> float:
        return spot.first if self._from_top else spot.page_height - spot.last

    def _other_depth(self, sheet: Sheet) -> tuple[float, bool] | None:
        """Return how far from the edge a page's first other line is, and whether it is body text for sure."""
        here = self._candidates[sheet.number]
        for row in sheet.inward(self._from_top):
            index = next((index for index in row if index not in here), None)
            spot = sheet.spot(index) if index is not None else None
            if index is not None and spot is not None:
                is_body = not self._stands_apart(sheet, index) or _is_sentence(sheet.page.lines[index])
                return self._depth(spot), is_body
        return None

    def _stands_apart(self, sheet: Sheet, index: int) -> bool:
        """Return whether the next row towards the body, if there is one, stands apart from a line."""
        inner = sheet.row_of[index] + (1 if self._from_top else -1)
        return not 0 <= inner < len(sheet.rows) or bool(sheet.is_apart(index, sheet.rows[inner][0]))

    def _reads_on(self, sheet: Sheet, outer: tuple[int, ...], inner: tuple[int, ...]) -> bool:
        here = self._candidates[sheet.number]
        return any(self._is_of_body(here[index], inner[0]) for index in outer if index in here)

    def _is_of_body(self, candidate: Candidate, inner: int) -> bool:
        """Return whether a line is a sentence in the type of the line next to it, or one text with it."""
        if candidate.is_number:
            return False
        sheet, lines = candidate.sheet, candidate.sheet.page.lines
        is_apart = sheet.is_apart(candidate.index, inner)
        line, spot, next_to_it = lines[candidate.index], sheet.spot(candidate.index), sheet.spot(inner)
        alike = spot is None or next_to_it is None or _is_same_type(spot, next_to_it)
        if alike and _is_sentence(line):
            return True
        if is_apart:
            return False
        upper, lower = (line, lines[inner]) if self._from_top else (lines[inner], line)
        if _SENTENCE_END.search(upper.rstrip()):
            return False
        begins_small = next((char for char in lower if char.isalnum()), "").islower()
        is_full = len(upper) >= max(_MIN_FULL_CHARS, full_line_chars(lines))
        return begins_small or (is_apart is not None and alike and is_full)


def _is_sentence(line: str) -> bool:
    return len(line.split()) >= _MIN_SENTENCE_WORDS and _SENTENCE_END.search(line.rstrip()) is not None


def _type(spot: Spot) -> _Type:
    return spot.font, round(spot.size)


def _is_same_type(one: Spot, other: Spot) -> bool:
    return one.font == other.font and abs(one.size - other.size) <= _SAME_SIZE_SHARE * one.size
