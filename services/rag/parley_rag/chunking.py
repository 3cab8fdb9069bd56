"""Cuts a text into passages that keep its structure and fit the embedding model's window."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from parley_rag.load.extraction import Block, BlockKind, Extraction, one_line
from parley_rag.load.source_code import BLANK_LINES

_SENTENCE_END = re.compile(
    r"[.!?\u2026][\"')\]\u201d\u2019]*\s+(?=[\"'(\[\u201c\u2018]?[A-Z0-9\u00c0-\u024f\u0400-\u04ff])|[\u3002\uff01\uff1f]|\n{2,}"
)
_ABBREVIATION_END = re.compile(
    r"(?:\b(?:[A-Za-z]|e\.g|i\.e|cf|vs|etc|Dr|Mr|Mrs|Prof|Fig|fig|No|no|Sec|Eq|St|pp?|vol|ed|al))\.\s+$"
)
_LINE_END = re.compile(r"\n+")
_BLANK_LINES = re.compile(r"\n{2,}")
_ITEM_START = re.compile(r"(?<=\n)[ \t]*(?=(?:[-*+\u2022]|\(?(?:\d{1,3}|[A-Za-z])[.)])[ \t]+\S)")
_SPACE = re.compile(r"\s+")
_CELL_END = re.compile(r" \| ")
_INDENT = re.compile(r"[ \t]*")
_GOES_ON = frozenset("})]")
_MAX_INNER_LEVELS = 4
_MAX_HEADINGS = 12  # of those above a passage, the innermost
_MAX_CONTEXT_TOKENS = 60
_MIN_TEXT_TOKENS = 40
_WORD = re.compile(r"[A-Za-z]+|\d+|[^\sA-Za-z\d]")
_HANGUL = re.compile(r"[\uac00-\ud7a3]")
_LONG_WORD_CHARS = 16
_LINE_BORDERS = (_BLANK_LINES, _LINE_END, _SPACE)
_BORDERS = {
    BlockKind.PARAGRAPH: (_SENTENCE_END, _LINE_END, _SPACE),
    BlockKind.TABLE: (_LINE_END, _CELL_END, _SPACE),
}


@dataclass(frozen=True, slots=True)
class ChunkSize:
    """How long passages get. `max_tokens` is an estimate that keeps heading and text in a window of 256."""

    target_chars: int = 900
    max_tokens: int = 220
    merge_below_chars: int = 200
    overlap_chars: int = 150


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage: `text[start:end]`, where its page is, and the headings above it.

    `context` is what its first part needs from further up and is searched with it: the names of a table's
    columns, the signature of a function that is cut.
    """

    start: int
    end: int
    page: int | None
    heading: str | None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class _Unit:
    """A span that is not cut further, its paragraph (block) and how many listings stand before it."""

    start: int
    end: int
    headings: tuple[str, ...]
    page: int | None
    paragraph: int
    listings_before: int = 0
    inside_long_paragraph: bool = False
    tokens: int = 0
    context: str = ""
    context_tokens: int = 0


def cut(extraction: Extraction, size: ChunkSize) -> list[Chunk]:
    """Return the passages of a document in order; the same document always gives the same ones."""
    text = extraction.text
    kinds = {BlockKind.PARAGRAPH, BlockKind.LINES, BlockKind.TABLE, BlockKind.CODE}
    if not any(block.kind in kinds for block in extraction.blocks):  # headings or listings are the text then
        kinds = set(BlockKind)
    units: list[_Unit] = []
    listings = 0
    for number, block in enumerate(extraction.blocks):
        if block.kind in kinds:
            units += _units(extraction, block, number, listings, size)
        else:
            listings += block.kind is BlockKind.LISTING
    packed = [_span(run) for run in _pack(text, units, size)]
    return [
        Chunk(span.start, span.end, span.page, _shown(span.headings), span.context or None)
        for span in _merge_small(extraction, packed, size)
    ]


def page_at(page_starts: Sequence[int], offset: int) -> int | None:
    """Return the page (from 1) on which an offset stands; None for unpaged documents."""
    return bisect_right(page_starts, offset) if page_starts else None


def estimate_tokens(text: str) -> int:
    """Return about how many word pieces a text has; in other scripts than Latin one a character.

    Long words are put together from many short pieces, Korean syllables from their letters.
    """
    pieces = sum(
        1 + (len(match) - 1) // 7
        if match.isalpha() and len(match) <= _LONG_WORD_CHARS
        else 1 + len(match) // 3
        for match in _WORD.findall(text)
    )
    return pieces if text.isascii() else pieces + len(_HANGUL.findall(text))


def _shown(headings: Sequence[str]) -> str | None:
    lines = (one_line(heading) for heading in headings[-_MAX_HEADINGS:])
    return " > ".join(line for line in lines if line) or None


def _units(
    extraction: Extraction, block: Block, number: int, listings: int, size: ChunkSize
) -> Iterator[_Unit]:
    text = extraction.text
    context = _context(block.header, size)
    context_tokens = estimate_tokens(context)
    spans = _split(text, block.start, block.end, block.kind, _beside(size, context_tokens))
    long = len(spans) > 1 and block.kind is BlockKind.PARAGRAPH
    for start, end in spans:
        page, tokens = page_at(extraction.page_starts, start), estimate_tokens(text[start:end])
        unit = _Unit(start, end, block.headings, page, number, listings, long, tokens)
        is_cut_off = start > block.start and context != ""
        yield replace(unit, context=context, context_tokens=context_tokens) if is_cut_off else unit


def _context(header: str, size: ChunkSize) -> str:
    """Return a header cut so that it leaves the window to the text."""
    most = min(_MAX_CONTEXT_TOKENS, size.max_tokens - _MIN_TEXT_TOKENS)
    while header and estimate_tokens(header) > most:
        header = header[: len(header) * 3 // 4].rstrip(" |")
    return header


def _beside(size: ChunkSize, context_tokens: int) -> ChunkSize:
    """Return the size of a text that shares the window with a context."""
    return replace(size, max_tokens=size.max_tokens - context_tokens) if context_tokens else size


def _split(text: str, start: int, end: int, kind: BlockKind, size: ChunkSize) -> list[tuple[int, int]]:
    """Return spans that fit: the whole, else items, sentences or lines, else words, else plain cuts."""
    if _fits(text, start, end, size):
        return [(start, end)]
    if kind is BlockKind.CODE:
        return _split_code(text, start, end, size, _MAX_INNER_LEVELS)
    items = _items(text, start, end, size) if kind is not BlockKind.TABLE else []
    if len(items) > 1:
        return [span for a, b in items for span in _split(text, a, b, kind, size)]
    for pattern in _BORDERS.get(kind, _LINE_BORDERS):
        pieces = _pieces(text, start, end, pattern)
        if len(pieces) > 1:
            stays = kind is BlockKind.TABLE or pattern is _SENTENCE_END
            rest = kind if stays else BlockKind.LINES
            return [span for a, b in pieces for span in _split(text, a, b, rest, size)]
    middle = (start + end) // 2
    return [
        span
        for a, b in ((start, middle), (middle, end))
        if text[a:b].strip()
        for span in _split(text, a, b, BlockKind.LINES, size)
    ]


def _split_code(text: str, start: int, end: int, size: ChunkSize, levels: int) -> list[tuple[int, int]]:
    """Return spans of code that fit: whole definitions, outermost first, else parts between blank lines."""
    if _fits(text, start, end, size):
        return [(start, end)]
    edges = _definitions(text, start, end) if levels else []
    if not edges:
        return _split(text, start, end, BlockKind.LINES, size)
    spans = (_trimmed(text, a, b) for a, b in pairwise([start, *edges, end]))
    return [span for a, b in spans if a < b for span in _split_code(text, a, b, size, levels - 1)]


def _definitions(text: str, start: int, end: int) -> list[int]:
    """Return where, behind blank lines, the lines begin that are indented least."""
    found: list[tuple[int, int]] = []
    for blank in BLANK_LINES.finditer(text, start, end):
        indent = _INDENT.match(text, blank.end(), end)
        if indent is not None and indent.end() < end and text[indent.end()] not in _GOES_ON:
            found.append((len(indent.group().expandtabs(4)), blank.end()))
    outermost = min((indent for indent, _ in found), default=0)
    return [at for indent, at in found if indent == outermost]


def _items(text: str, start: int, end: int, size: ChunkSize) -> list[tuple[int, int]]:
    """Return the outermost items of a list that fit or hold no others, what stands before them first."""
    found: list[tuple[int, int]] = []
    waiting = [(start, end)]
    while waiting:
        a, b = waiting.pop()
        inner = [] if _fits(text, a, b, size) else _outermost_items(text, a, b)
        if len(inner) > 1:
            waiting += reversed(inner)
        else:
            found.append((a, b))
    return found


def _outermost_items(text: str, start: int, end: int) -> list[tuple[int, int]]:
    matches = _ITEM_START.finditer(text, start, end)
    found = [(match.end() - match.start(), match.start()) for match in matches if match.start() > start]
    outermost = min((indent for indent, _ in found), default=0)
    borders = [start, *(at for indent, at in found if indent == outermost), end]
    spans = (_trimmed(text, a, b) for a, b in pairwise(borders))
    return [(a, b) for a, b in spans if a < b]


def _pieces(text: str, start: int, end: int, pattern: re.Pattern[str]) -> list[tuple[int, int]]:
    pieces: list[tuple[int, int]] = []
    begin = start
    for match in pattern.finditer(text, start, end):
        if pattern is _SENTENCE_END and _ABBREVIATION_END.search(
            text, max(begin, match.end() - 12), match.end()
        ):
            continue
        if text[begin : match.end()].strip():
            pieces.append(_trimmed(text, begin, match.end()))
        begin = match.end()
    if text[begin:end].strip():
        pieces.append(_trimmed(text, begin, end))
    return pieces


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _fits(text: str, start: int, end: int, size: ChunkSize) -> bool:
    return end - start <= size.target_chars and estimate_tokens(text[start:end]) <= size.max_tokens


def _pack(text: str, units: Sequence[_Unit], size: ChunkSize) -> Iterator[list[_Unit]]:
    """Group neighbouring units under one heading and on one page into passages."""
    run: list[_Unit] = []
    tokens = 0
    for unit in units:
        if run and run[-1].end == unit.start:  # the parts of a word may have fewer pieces than the whole
            added = estimate_tokens(text[run[0].start : unit.end]) - tokens
        else:
            added = unit.tokens + (estimate_tokens(text[run[-1].end : unit.start]) if run else 0)
        if run and not (
            _same_place(run[-1], unit)
            and unit.end - run[0].start <= size.target_chars
            and tokens + added <= size.max_tokens - run[0].context_tokens
        ):
            yield run
            run = _overlap(text, run, unit, size)
            tokens, added = sum(kept.tokens for kept in run), unit.tokens
        run.append(unit)
        tokens += added
    if run:
        yield run


def _same_place(one: _Unit, other: _Unit) -> bool:
    return one.headings == other.headings and _in_one_stretch(one, other)


def _in_one_stretch(one: _Unit, other: _Unit) -> bool:
    """Return whether neither a page's end nor a listing stands between two spans."""
    return one.page == other.page and one.listings_before == other.listings_before


def _overlap(text: str, run: Sequence[_Unit], unit: _Unit, size: ChunkSize) -> list[_Unit]:
    """Return the last sentence of a passage when the same long paragraph goes on in the next one."""
    last = run[-1]
    repeats = (
        len(run) > 1
        and last.inside_long_paragraph
        and last.paragraph == unit.paragraph
        and last.page == unit.page
        and last.end - last.start <= size.overlap_chars
        and _fits(text, last.start, unit.end, size)
    )
    return [last] if repeats else []


def _span(run: Sequence[_Unit]) -> _Unit:
    return replace(run[0], end=run[-1].end)


def _merge_small(extraction: Extraction, spans: Sequence[_Unit], size: ChunkSize) -> list[_Unit]:
    """Join small neighbouring sections under the heading that both share."""
    titles = [block for block in extraction.blocks if block.kind is BlockKind.HEADING]
    starts = [block.start for block in titles]
    merged: list[_Unit] = []
    for span in spans:
        before = merged[-1] if merged else None
        if before is not None and _related(before, span, size):
            after = merged[-2].end if len(merged) > 1 else 0
            above = titles[bisect_left(starts, after) : bisect_left(starts, before.start)]
            joined = _joined(before, span, above, extraction.page_starts)
            window = _beside(size, joined.context_tokens)
            if _fits(extraction.text, joined.start, joined.end, window) and _names(
                extraction.text[joined.start : joined.end],
                {*before.headings, *span.headings} - {*joined.headings},
            ):
                merged[-1] = joined
                continue
        merged.append(span)
    return merged


def _related(before: _Unit, after: _Unit, size: ChunkSize) -> bool:
    small = min(before.end - before.start, after.end - after.start) < size.merge_below_chars
    same = before.headings == after.headings or bool(_shared(before.headings, after.headings))
    return small and same and _in_one_stretch(before, after)


def _joined(before: _Unit, after: _Unit, above: Sequence[Block], page_starts: Sequence[int]) -> _Unit:
    """Return both as one; it starts at the titles that the shared heading no longer names."""
    shared = _shared(before.headings, after.headings)
    start = before.start
    for title in reversed(above):
        depth = len(title.headings)
        lost = depth > len(shared) and title.headings == before.headings[:depth]
        if not lost or page_at(page_starts, title.start) != before.page:
            break
        start = title.start
    return replace(before, start=start, end=after.end, headings=shared)


def _names(text: str, headings: Iterable[str]) -> bool:
    """Return whether a text holds all of these headings."""
    letters = _letters(text)
    return all(_letters(heading) in letters for heading in headings)


def _letters(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    count = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    return one[:count]
