"""Tables of contents in plain text: runs of lines that are numbered titles, which stand again further on."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ENTRY = re.compile(
    r"(?P<indent>[ \t]*)(?:[-*+?o\u2022\u25e6]\s+)?"
    r"(?:(?:chapter|appendix|part|section)\s+)?"
    r"(?P<number>\d{1,3}(?:\.\d{1,3})*[.:)]?|(?:[A-Z]|[IVXLC]{1,6})(?:\.\d{1,3})*[.:)])\s+"
    r"(?P<title>\S.*?)(?P<leader>(?:\s?\.){3,}\s*\d{1,4}|\s{3,}\d{1,4})?\s*",
    re.I,
)
_CONTENTS = re.compile(r"\W*(?P<surely>table\s+of\s+)?contents\W*", re.I)
_MAX_LINE_CHARS = 200
_LINE = re.compile(r"^[^\S\n]*+\S[^\n]*", re.M)
_SENTENCE_ENDS = (".", ";", ",", ":")
_MIN_ENTRIES = 3
_MAX_SENTENCE_SHARE = 0.1
_AGAIN_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    indent: int
    title: str  # letters of an entry's title; empty for other lines
    words: str  # letters of the line, a number before them left out
    number: str
    has_page: bool
    ends_sentence: bool
    is_contents: bool  # "Contents", which may be those of a box
    is_table_of_contents: bool


def contents_spans(text: str) -> list[tuple[int, int]]:
    """Return where tables of contents stand, in order."""
    lines = [_line(match) for match in _LINE.finditer(text)]
    last = {line.words: line.start for line in lines}
    spans: list[tuple[int, int]] = []
    for first, after in _runs(lines):
        entries = [line for line in lines[first:after] if line.title]
        sentences = sum(line.ends_sentence for line in lines[first:after])
        if len(entries) < _MIN_ENTRIES or sentences > _MAX_SENTENCE_SHARE * len(entries):
            continue
        above = lines[first - 1] if first else None
        titled = above is not None and above.is_contents
        surely = above is not None and above.is_table_of_contents
        paged = sum(line.has_page for line in entries)
        again = sum(last[line.words] >= lines[after - 1].end for line in entries)
        if surely or max(paged, again) >= _AGAIN_SHARE * len(entries):
            spans.append((lines[first - titled].start, lines[after - 1].end))
    return spans


def _line(match: re.Match[str]) -> _Line:
    line = match.group()
    is_short = len(line) <= _MAX_LINE_CHARS  # the patterns are slow on long runs of dots
    entry = _ENTRY.fullmatch(line) if is_short else None
    contents = _CONTENTS.fullmatch(line) if is_short else None
    ends_sentence = line.rstrip().endswith(_SENTENCE_ENDS) and not (entry and entry["leader"])
    words = _letters(entry["title"] if entry else line)
    return _Line(
        start=match.start(),
        end=match.end(),
        indent=len(line) - len(line.lstrip()),
        title=words if entry and not ends_sentence else "",
        words=words,
        number=_letters(entry["number"]) if entry else "",
        ends_sentence=ends_sentence,
        has_page=bool(entry and entry["leader"]),
        is_contents=contents is not None,
        is_table_of_contents=contents is not None and contents["surely"] is not None,
    )


def _runs(lines: list[_Line]) -> Iterator[tuple[int, int]]:
    """Yield first and after-last of the runs of entries; an entry that comes again is not of its run."""
    first = 0
    seen: set[tuple[str, str]] = set()
    for index, line in enumerate(lines):
        entry = (line.number, line.title)
        is_new = bool(line.title) and entry not in seen
        if not is_new and not (seen and _goes_on(lines[index - 1], line)):
            if seen:
                yield first, index
            seen = set()
            is_new = bool(line.title)
        if is_new:
            first = first if seen else index
            seen.add(entry)
    if seen:
        yield first, len(lines)


def _goes_on(before: _Line, line: _Line) -> bool:
    """Return whether a line is the further part of a long title: right below it and indented."""
    return not line.title and line.start == before.end + 1 and line.indent >= max(before.indent, 1)


def _letters(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())
