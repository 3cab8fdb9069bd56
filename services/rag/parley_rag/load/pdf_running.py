"""Running heads and feet and page numbers of PDF pages: found as what repeats at the edges, and dropped."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from parley_rag.load.pdf_layout import PageText
from parley_rag.load.pdf_margins import (
    EDGE_ROWS,
    MAX_ROW_LINES,
    MAX_RUNNING_CHARS,
    MIN_REPEATS,
    Candidate,
    Margin,
    Sheet,
    may_run,
    sheets_of,
)

_MIN_PAGES = 4
_RUNNING_SHARE = 0.2
_EDGE_NUMBERS = (
    re.compile(r"(?P<first>\d{1,4})(?:\s(?P<words>.*))?(?P<before>)(?P<last>)"),
    re.compile(r"(?P<first>)(?P<words>)(?P<before>.*\s)(?P<last>\d{1,4})"),
)
_PAGE_NUMBER = re.compile(
    r"(?:page\s+)?[-\u2013\u2014|\s]*(?:\d{1,4}|[ivxlc]{1,7})[-\u2013\u2014|\s]*(?:(?:of|/)\s*\d{1,4})?", re.I
)
_RunningKey = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class _Edge:
    """A line at a page's edge. `place`: the row, 0, 1 from the top, -1, -2 from the bottom."""

    place: int
    index: int
    line: str


def without_running_lines(pages: Sequence[PageText]) -> list[PageText]:
    """Return the pages without page numbers and without lines that run at the edges of many pages."""
    if len(pages) < _MIN_PAGES:
        return list(pages)
    sheets = sheets_of(pages)
    candidates = _candidates(sheets)
    margins = [Margin(from_top, sheets, candidates) for from_top in (True, False)]
    return [
        page.without({index for margin in margins for index in margin.running(number)})
        for number, page in enumerate(pages)
    ]


def _candidates(sheets: Sequence[Sheet]) -> list[dict[int, Candidate]]:
    """Return of every page, by their index, the lines at its edges that repeat or hold its number."""
    edges = [list(_edges(sheet)) for sheet in sheets]
    seen_words = Counter(
        key
        for number, places in enumerate(edges)
        for key in {key for edge in places for key in _running_keys(edge.line, number)}
    )
    seen_places = Counter(
        key
        for number, places in enumerate(edges)
        for key in {(edge.place, offset) for edge in places for offset in _page_offsets(edge.line, number)}
    )
    often = max(MIN_REPEATS, _RUNNING_SHARE * len(sheets))
    words = {key for key, count in seen_words.items() if count >= often}
    places = {key for key, count in seen_places.items() if count >= often}
    return [
        {found.index: found for found in _candidates_of(sheet, edges[number], words, places)}
        for number, sheet in enumerate(sheets)
    ]


def _edges(sheet: Sheet) -> Iterator[_Edge]:
    """Yield the lines at a page's edges; those of a short page are at both.

    A row of many is no head: sideways text has all its lines begin in one.
    """
    count = min(EDGE_ROWS, len(sheet.rows))
    for place in (*range(count), *range(-count, 0)):
        for index in sheet.rows[place] if len(sheet.rows[place]) <= MAX_ROW_LINES else ():
            yield _Edge(place, index, sheet.page.lines[index])


def _running_keys(line: str, page: int) -> Iterator[_RunningKey]:
    """Yield what may repeat: the line as it is, and its words with how far its number is off the page's."""
    words = " ".join(line.split()).casefold()
    yield words, None
    for match in _edge_numbers(words):
        yield match["words"] or match["before"] or "", int(match["first"] or match["last"]) - page


def _page_offsets(line: str, page: int) -> set[int]:
    """Return how far the numbers that begin and end a short line are off the page's."""
    words = " ".join(line.split())
    if len(words) > MAX_RUNNING_CHARS:
        return set()
    return {int(match["first"] or match["last"]) - page for match in _edge_numbers(words)}


def _edge_numbers(words: str) -> list[re.Match[str]]:
    return [match for pattern in _EDGE_NUMBERS if (match := pattern.fullmatch(words))]


def _candidates_of(
    sheet: Sheet, edges: Sequence[_Edge], words: set[_RunningKey], places: set[tuple[int, int]]
) -> Iterator[Candidate]:
    """Yield the lines that may run.

    A line may run when its words repeat, when it holds nothing but a page number, or when it has the page's
    number where other pages have theirs; so may what stands between such a number and the page's edge.
    """
    usual = {place for place, _ in places}
    numbered = {
        edge.place
        for edge in edges
        if any((edge.place, at) in places for at in _page_offsets(edge.line, sheet.number))
        or (edge.place in usual and _PAGE_NUMBER.fullmatch(edge.line.strip()))  # roman, of the first pages
    }
    for edge in edges:
        inner_neighbour = edge.place + 1 if edge.place >= 0 else edge.place - 1
        beyond_number = inner_neighbour in numbered and may_run(edge.line)
        repeats = any(key in words for key in _running_keys(edge.line, sheet.number))
        is_number = _PAGE_NUMBER.fullmatch(edge.line.strip()) is not None
        if edge.place in numbered or beyond_number or repeats or is_number:
            is_same = (" ".join(edge.line.split()).casefold(), None) in words
            yield Candidate(sheet, edge.index, is_number, not is_same and not is_number)
