"""The lines of PDF pages: running headers and footers dropped, lines joined into paragraphs."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_EDGE_LINES = 2
_MIN_PAGES_FOR_RUNNING_LINES = 4
_RUNNING_SHARE = 0.2
_FULL_LINE_SHARE = 0.75
_MAX_RUNNING_CHARS = 100
_RunningKey = tuple[str, int | None]
_EDGE_NUMBERS = (
    re.compile(r"(?P<first>\d{1,4})(?:\s(?P<words>.*))?(?P<before>)(?P<last>)"),
    re.compile(r"(?P<first>)(?P<words>)(?P<before>.*\s)(?P<last>\d{1,4})"),
)
_PAGE_NUMBER = re.compile(
    r"(?:page\s+)?[-\u2013\u2014|\s]*(?:\d{1,4}|[ivxlc]{1,7})[-\u2013\u2014|\s]*(?:(?:of|/)\s*\d{1,4})?", re.I
)
_WORD = re.compile(r"\w+(?:-\w+)*")
_LINE_HYPHEN = re.compile(r"(?<![^\W\d_])([^\W\d_]+)(?:[\u00ad\ufffe\x02]\s*|-\n)(?=([^\W\d_]+))")
_SENTENCE_END = re.compile(r"[.!?;,:]$")
_NEW_ITEM = re.compile(r"(?:[\u2022\u25cf\u25e6\u2013*\u00b7-]\s|\(?\d{1,3}[.)]\s|\(?[a-z][.)]\s)")
_LEADER = re.compile(r"(?:\.\s?){4,}\s*(?:\d{1,4}|[ivxlc]{1,7})\s*$", re.I)
_INDEXED = re.compile(r"\S,\s*\d{1,4}(?:\s*[-\u2013,]\s*\d{1,4})*\s*$")
_MIN_LISTING_LINES = 6
_LISTING_SHARE = 0.5
_LISTED_CHARS = 300  # of a line's end: the patterns are slow on long runs of dots and numbers


@dataclass(frozen=True, slots=True)
class PageText:
    """The non-empty lines of a page, top to bottom."""

    lines: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "PageText":
        lines = (line.rstrip() for line in text.split("\n"))
        return cls(tuple(line for line in lines if line.strip()))

    @property
    def chars(self) -> int:
        return sum(len(line) for line in self.lines)


@dataclass(frozen=True, slots=True)
class _Edge:
    """A line at a page's edge. `place`: 0, 1 from the top, -1, -2 from the bottom; `index` in the page."""

    place: int
    index: int
    line: str


def without_line_hyphens(texts: Sequence[str]) -> list[str]:
    """Return the pages with words joined that a line end divides.

    The hyphen stays where the document writes the word with one elsewhere and never without.
    """
    pages = [text.replace("\r\n", "\n").replace("\r", "\n") for text in texts]
    words = {word.casefold() for page in pages for word in _WORD.findall(page)}

    def joined(match: re.Match[str]) -> str:
        before, after = match.group(1), match.group(2)
        compound = f"{before}-{after}".casefold() in words and f"{before}{after}".casefold() not in words
        proper = before[-1].islower() and after[0].isupper()
        return f"{before}-" if compound or proper else before

    return [_LINE_HYPHEN.sub(joined, page) for page in pages]


def without_running_lines(pages: Sequence[PageText]) -> list[PageText]:
    """Return the pages without page numbers and without lines that repeat at the edges of many pages."""
    if len(pages) < _MIN_PAGES_FOR_RUNNING_LINES:
        return list(pages)
    edges = [list(_edges(page)) for page in pages]
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
    often = max(3, _RUNNING_SHARE * len(pages))
    words = {key for key, count in seen_words.items() if count >= often}
    places = {key for key, count in seen_places.items() if count >= often}
    return [PageText(tuple(_inner(page, number, words, places))) for number, page in enumerate(pages)]


def _edges(page: PageText) -> Iterator[_Edge]:
    """Yield the lines at a page's edges; those of a short page are at both."""
    for place in range(min(_EDGE_LINES, len(page.lines))):
        yield _Edge(place, place, page.lines[place])
    for place in range(-min(_EDGE_LINES, len(page.lines)), 0):
        yield _Edge(place, len(page.lines) + place, page.lines[place])


def _running_keys(line: str, page: int) -> Iterator[_RunningKey]:
    """Yield what may repeat: the line as it is, and its words with how far its number is off the page's."""
    words = " ".join(line.split()).casefold()
    yield words, None
    for match in _edge_numbers(words):
        yield match["words"] or match["before"] or "", int(match["first"] or match["last"]) - page


def _page_offsets(line: str, page: int) -> set[int]:
    """Return how far the numbers that begin and end a short line are off the page's."""
    words = " ".join(line.split())
    if len(words) > _MAX_RUNNING_CHARS:
        return set()
    return {int(match["first"] or match["last"]) - page for match in _edge_numbers(words)}


def _edge_numbers(words: str) -> list[re.Match[str]]:
    return [match for pattern in _EDGE_NUMBERS if (match := pattern.fullmatch(words))]


def _inner(
    page: PageText, number: int, words: set[_RunningKey], places: set[tuple[int, int]]
) -> Iterator[str]:
    """Yield the lines that do not run.

    A line runs when its words repeat, when it holds nothing but a page number, or when it has the page's
    number where other pages have theirs; so does what stands between such a number and the page's edge.
    """
    edges = list(_edges(page))
    usual = {place for place, _ in places}
    numbered = {
        edge.place
        for edge in edges
        if any((edge.place, at) in places for at in _page_offsets(edge.line, number))
        or (edge.place in usual and _PAGE_NUMBER.fullmatch(edge.line.strip()))  # roman, of the first pages
    }
    running: set[int] = set()
    for edge in edges:
        inner_neighbour = edge.place + 1 if edge.place >= 0 else edge.place - 1
        beyond_number = inner_neighbour in numbered and _may_run(edge.line)
        repeats = any(key in words for key in _running_keys(edge.line, number))
        is_number = _PAGE_NUMBER.fullmatch(edge.line.strip()) is not None
        if edge.place in numbered or beyond_number or repeats or is_number:
            running.add(edge.index)
    return (line for index, line in enumerate(page.lines) if index not in running)


def _may_run(line: str) -> bool:
    return len(line) <= _MAX_RUNNING_CHARS and not _SENTENCE_END.search(line.rstrip())


def listed_title(line: str) -> str:
    """Return a line of a table of contents without its leader and page number."""
    leader = _LEADER.search(line, max(0, len(line) - _LISTED_CHARS))
    return line[: leader.start()].strip() if leader else line.strip()


def is_listing(lines: Sequence[str]) -> bool:
    """Return whether a page is (part of) a table of contents or an index."""
    ends = [line[-_LISTED_CHARS:] for line in lines]
    if ends and all(_LEADER.search(end) for end in ends):
        return True
    if len(lines) < _MIN_LISTING_LINES:
        return False
    listed = sum(1 for end in ends if _LEADER.search(end) or _INDEXED.search(end))
    return listed >= _LISTING_SHARE * len(lines)


def full_line_chars(lines: Sequence[str]) -> float:
    """Return from which length on a line of this page runs on into the next one."""
    lengths = sorted(len(line) for line in lines)
    return _FULL_LINE_SHARE * lengths[int(0.9 * (len(lengths) - 1))] if lengths else 0.0


def paragraphs(lines: Sequence[str], full_chars: float) -> list[str]:
    """Return lines joined where a full line runs on; short lines (code, lists) stay lines."""
    joined: list[str] = []
    runs_on = False
    for line in lines:
        if runs_on and not _NEW_ITEM.match(line.lstrip()):
            joined[-1] = f"{joined[-1]} {line.lstrip()}"
        else:
            joined.append(line)
        runs_on = len(line) >= full_chars
    return joined
