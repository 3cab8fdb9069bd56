"""The headings of PDF pages: where the outline's titles stand, and numbered titles when there is none."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from parley_rag.load.pdf_layout import PageText, full_line_chars

MAX_HEADING_CHARS = 200
_NUMBERED = re.compile(
    r"(?:(?P<word>chapter|appendix|part|annex)\s+)?(?P<number>\d{1,3}(?:\.\d{1,3}){0,5})[.:]?\s+"
    r"(?=[^\W\d_]|[/\"'`(<\u201c])\S.*",
    re.I,
)
_ENDS_SENTENCE = re.compile(r"[.,;:!]$")
_MAX_NUMBERED_CHARS = 100
_WRAPS_FROM_CHARS = 35
_MAX_TITLE_LINES = 3
_BEFORE_TITLE = re.compile(
    r"(?:(?:chapter|appendix|section|part|annex)[^\W_]{0,10}|\d{0,12}|[ivxlc]{1,6}|[a-z]\d{0,9})"
)
_CHAPTER_WORDS = ("chapter", "appendix", "section", "part", "annex")
_MAX_BEFORE_TITLE = 20


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    """A bookmark: the page it leads to (from 0), its depth and its title."""

    page: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class PageHeading:
    """Entries that begin at a line; the title takes `lines` of the page, 0 when text follows in its line."""

    line: int
    lines: int
    entries: tuple[OutlineEntry, ...]


def outline_headings(lines: Sequence[str], entries: Sequence[OutlineEntry]) -> list[PageHeading]:
    """Return where the titles of a page's outline entries stand in its lines, in order.

    An entry whose title is not found begins with the next one that is; the last ones may be left out.
    """
    found: list[PageHeading] = []
    waiting: list[OutlineEntry] = []
    begin = 0
    full = full_line_chars(lines)
    for entry in entries:
        waiting.append(entry)
        place = _title_lines(lines, begin, entry.title) or _run_in_title(lines, begin, entry.title, full)
        if place:
            found.append(PageHeading(*place, tuple(waiting)))
            waiting = []
            begin = place[0] + max(1, place[1])
    return found


def _title_lines(lines: Sequence[str], begin: int, title: str) -> tuple[int, int] | None:
    """Return the line where a title stands alone, and how many lines it takes."""
    heading = _letters(title)
    for index in range(begin, len(lines) if heading else 0):
        words = ""
        for count, line in enumerate(lines[index : index + _MAX_TITLE_LINES], 1):
            words += _letters(line)
            before = len(words) - len(heading)
            if before > _MAX_BEFORE_TITLE:
                break
            begins_here = before < len(_letters(lines[index])) or words.startswith(_CHAPTER_WORDS)
            if words.endswith(heading) and begins_here and _BEFORE_TITLE.fullmatch(words, 0, max(0, before)):
                return index, count
    return None


def _run_in_title(lines: Sequence[str], begin: int, title: str, full: float) -> tuple[int, int] | None:
    """Return the line that begins with a title and goes on with text."""
    heading = _letters(title)
    for index in range(begin, len(lines) if heading else 0):
        begins_paragraph = index == 0 or len(lines[index - 1]) < full
        words = _letters(lines[index])
        if begins_paragraph and heading in words and _BEFORE_TITLE.fullmatch(words, 0, words.index(heading)):
            return index, 0
    return None


def numbered_headings(pages: Sequence[PageText], contents: Sequence[str]) -> list[list[PageHeading]]:
    """Return the numbered titles of every page, such as "3.7.2. Requirements".

    Of all lines that look like one, those count whose numbers rise through the document. `contents` are the
    titles of the table of contents: what it lists is a title even where text seems to run on into it.
    """
    listed = sorted(_letters(title) for title in contents)
    candidates = [
        (number, page, index)
        for page, text in enumerate(pages)
        for number, index in _candidates(text.lines, listed)
    ]
    found: list[list[PageHeading]] = [[] for _ in pages]
    for at in _longest_rise([number for number, _, _ in candidates]):
        number, page, index = candidates[at]
        lines = pages[page].lines
        count = 1 + (index + 1 < len(lines) and _wraps(lines[index], lines[index + 1]))
        title = " ".join(" ".join(lines[index : index + count]).split())[:MAX_HEADING_CHARS]
        found[page].append(PageHeading(index, count, (OutlineEntry(page, len(number) - 1, title),)))
    return found


def _candidates(lines: Sequence[str], listed: Sequence[str]) -> Iterator[tuple[tuple[int, ...], int]]:
    full = full_line_chars(lines)
    for index, line in enumerate(lines):
        number = _title_number(line)
        if number is None:
            continue
        above = lines[index - 1] if index else ""
        runs_on = index > 0 and len(above) >= full and not _closes(above) and _title_number(above) is None
        if _is_listed(line, listed) or not (runs_on or _begins_small(line)):
            yield number, index


def _title_number(line: str) -> tuple[int, ...] | None:
    """Return the number of a line that may be a title."""
    words = line.strip()
    match = _NUMBERED.fullmatch(words)
    if match is None or len(words) > _MAX_NUMBERED_CHARS or _ENDS_SENTENCE.search(words):
        return None
    number = tuple(int(part) for part in match["number"].split("."))
    # A number of one part is told from a list's only by a word such as "Chapter".
    is_title = bool(match["word"]) or (len(number) > 1 and number[0] > 0)
    return number if is_title else None


def _begins_small(line: str) -> bool:
    """Return whether the first letter is a small one, as in "2.5 kg" and in few titles."""
    return next((char for char in line if char.isalpha()), "").islower()


def _is_listed(line: str, listed: Sequence[str]) -> bool:
    """Return whether a title of the table of contents begins with this line."""
    words = _letters(line)
    at = bisect_left(listed, words)
    return at < len(listed) and listed[at].startswith(words)


def _closes(line: str) -> bool:
    return line.rstrip().endswith((".", "!", "?", ":", ";", ")"))


def _wraps(title: str, below: str) -> bool:
    """Return whether a title goes on in the line below it."""
    words = below.strip()
    return (
        len(title) >= _WRAPS_FROM_CHARS
        and len(words) <= len(title)
        and (words[:1].islower() or words.startswith("("))
        and not _ENDS_SENTENCE.search(words)
    )


def _longest_rise(numbers: Sequence[tuple[int, ...]]) -> list[int]:
    """Return the positions of the longest strictly rising run of numbers (patience sorting)."""
    tails: list[int] = []
    before: list[int | None] = []
    for position, number in enumerate(numbers):
        at = bisect_left(tails, number, key=lambda tail: numbers[tail])
        before.append(tails[at - 1] if at else None)
        tails[at : at + 1] = [position]
    rise: list[int] = []
    position = tails[-1] if tails else None
    while position is not None:
        rise.append(position)
        position = before[position]
    return rise[::-1]


def _letters(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())
