"""The lines of PDF pages with where they stand, joined into words and paragraphs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

_FULL_LINE_SHARE = 0.75
_WORD = re.compile(r"\w+(?:-\w+)*")
_LINE_HYPHEN = re.compile(r"(?<![^\W\d_])([^\W\d_]+)(?:[\u00ad\ufffe\x02]\s*|-\n)(?=([^\W\d_]+))")
_NEW_ITEM = re.compile(r"(?:[\u2022\u25cf\u25e6\u2013*\u00b7-]\s|\(?\d{1,3}[.)]\s|\(?[a-z][.)]\s)")
_LEADER = re.compile(r"(?:\.\s?){4,}\s*(?:\d{1,4}|[ivxlc]{1,7})\s*$", re.I)
_INDEXED = re.compile(r"\S,\s*\d{1,4}(?:\s*[-\u2013,]\s*\d{1,4})*\s*$")
_MIN_LISTING_LINES = 6
_LISTING_SHARE = 0.5
_LISTED_CHARS = 300  # of a line's end: the patterns are slow on long runs of dots and numbers


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a line stands: its first and last baseline below the page's top, in points, and its type."""

    first: float
    last: float
    page_height: float
    size: float
    font: str


@dataclass(frozen=True, slots=True)
class PageText:
    """The non-empty lines of a page in reading order; `spots` is one for each line, or empty if unknown."""

    lines: tuple[str, ...]
    spots: tuple[Spot, ...] = ()

    @classmethod
    def of(cls, text: str, spots: Sequence[Spot | None] = ()) -> "PageText":
        """Return the lines of a page; `spots` is of all lines, also of empty ones."""
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        placed = [(line.rstrip(), spot) for line, spot in zip_longest(lines, spots) if line and line.strip()]
        known = tuple(spot for _, spot in placed if spot)
        return cls(tuple(line for line, _ in placed), known if len(known) == len(placed) else ())

    @property
    def chars(self) -> int:
        return sum(len(line) for line in self.lines)

    def without(self, indexes: set[int]) -> "PageText":
        """Return the page without some of its lines."""
        kept = [index for index in range(len(self.lines)) if index not in indexes]
        spots = tuple(self.spots[index] for index in kept) if self.spots else ()
        return PageText(tuple(self.lines[index] for index in kept), spots)


def without_line_hyphens(pages: Sequence[PageText]) -> list[PageText]:
    """Return the pages with words joined that a line end divides.

    The hyphen stays where the document writes the word with one elsewhere and never without.
    """
    texts = ["\n".join(page.lines) for page in pages]
    words = {word.casefold() for text in texts for word in _WORD.findall(text)}

    def joined(match: re.Match[str]) -> str:
        before, after = match.group(1), match.group(2)
        compound = f"{before}-{after}".casefold() in words and f"{before}{after}".casefold() not in words
        proper = before[-1].islower() and after[0].isupper()
        return f"{before}-" if compound or proper else before

    def mended(page: PageText, text: str) -> PageText:
        ends = [match.end() for match in _LINE_HYPHEN.finditer(text) if "\n" in match.group()]
        lines = tuple(_LINE_HYPHEN.sub(joined, text).split("\n")) if page.lines else ()
        return PageText(lines, _joined_spots(page.spots, {text.count("\n", 0, end) for end in ends}))

    return [mended(page, text) for page, text in zip(pages, texts, strict=True)]


def _joined_spots(spots: Sequence[Spot], joined: set[int]) -> tuple[Spot, ...]:
    """Return where lines stand when those at the indexes `joined` are joined to the ones before them."""
    left: list[Spot] = []
    for index, spot in enumerate(spots):
        if index in joined:
            left[-1] = replace(left[-1], last=spot.last)
        else:
            left.append(spot)
    return tuple(left)


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
