"""The lines of PDF pages: running headers and footers dropped, lines joined into paragraphs."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_EDGE_LINES = 2
_MIN_PAGES_FOR_RUNNING_LINES = 4
_RUNNING_SHARE = 0.2
_FULL_LINE_SHARE = 0.75
_RunningKey = tuple[str, int | None]
_EDGE_NUMBER = re.compile(r"(?P<first>\d{1,4})\b(?P<words>.*)|(?P<before>.*?)\b(?P<last>\d{1,4})")
_PAGE_NUMBER = re.compile(
    r"(?:page\s+)?[-\u2013\u2014|\s]*(?:\d{1,4}|[ivxlc]{1,7})[-\u2013\u2014|\s]*(?:(?:of|/)\s*\d{1,4})?", re.I
)
_WORD = re.compile(r"\w+(?:-\w+)*")
_LINE_HYPHEN = re.compile(r"([^\W\d_]+)(?:[\u00ad\ufffe\x02]\s*|-\n)(?=([^\W\d_]+))")
_NEW_ITEM = re.compile(r"(?:[\u2022\u25cf\u25e6\u2013*\u00b7-]\s|\(?\d{1,3}[.)]\s|\(?[a-z][.)]\s)")
_LEADER = re.compile(r"(?:\.\s?){4,}\s*(?:\d{1,4}|[ivxlc]{1,7})\s*$", re.I)
_INDEXED = re.compile(r"\S,\s*\d{1,4}(?:\s*[-\u2013,]\s*\d{1,4})*\s*$")
_MIN_LISTING_LINES = 6
_LISTING_SHARE = 0.5


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
    seen = Counter(
        key
        for number, page in enumerate(pages)
        for key in {_running_key(line, number) for line in _edges(page)}
    )
    often = max(3, _RUNNING_SHARE * len(pages))
    running = {key for key, count in seen.items() if count >= often}
    return [PageText(tuple(_inner(page, number, running))) for number, page in enumerate(pages)]


def _edges(page: PageText) -> tuple[str, ...]:
    return page.lines[:_EDGE_LINES] + page.lines[_EDGE_LINES:][-_EDGE_LINES:]


def _running_key(line: str, page: int) -> _RunningKey:
    """Return what repeats from page to page: words, and how far a number beside them is off the page's."""
    words = " ".join(line.split()).casefold()
    match = _EDGE_NUMBER.fullmatch(words)
    if match is None:
        return words, None
    number = match["first"] or match["last"]
    return match["words"] or match["before"], int(number) - page


def _inner(page: PageText, number: int, running: set[_RunningKey]) -> Iterator[str]:
    last = len(page.lines) - _EDGE_LINES
    for index, line in enumerate(page.lines):
        at_edge = index < _EDGE_LINES or index >= last
        if not (at_edge and (_running_key(line, number) in running or _PAGE_NUMBER.fullmatch(line.strip()))):
            yield line


def is_listing(lines: Sequence[str]) -> bool:
    """Return whether a page is (part of) a table of contents or an index."""
    if len(lines) < _MIN_LISTING_LINES:
        return False
    listed = sum(1 for line in lines if _LEADER.search(line) or _INDEXED.search(line))
    return listed >= _LISTING_SHARE * len(lines)


def paragraphs(lines: Sequence[str]) -> list[str]:
    """Return the lines of a page joined where a full line runs on; short lines (code, lists) stay lines."""
    if not lines:
        return []
    lengths = sorted(len(line) for line in lines)
    full = _FULL_LINE_SHARE * lengths[int(0.9 * (len(lengths) - 1))]
    joined: list[str] = []
    runs_on = False
    for line in lines:
        if runs_on and not _NEW_ITEM.match(line.lstrip()):
            joined[-1] = f"{joined[-1]} {line.lstrip()}"
        else:
            joined.append(line)
        runs_on = len(line) >= full
    return joined
