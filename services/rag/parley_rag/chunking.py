"""Cuts a text into passages that keep its structure and fit the embedding model's window."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from parley_rag.load.extraction import Block, BlockKind, Extraction

_SENTENCE_END = re.compile(
    r"[.!?\u2026][\"')\]\u201d\u2019]*\s+(?=[\"'(\[\u201c\u2018]?[A-Z0-9\u00c0-\u024f\u0400-\u04ff])|[\u3002\uff01\uff1f]|\n{2,}"
)
_ABBREVIATION_END = re.compile(
    r"(?:\b(?:[A-Za-z]|e\.g|i\.e|cf|vs|etc|Dr|Mr|Mrs|Prof|Fig|fig|No|no|Sec|Eq|St|pp?|vol|ed|al))\.\s+$"
)
_LINE_END = re.compile(r"\n+")
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[A-Za-z]+|\d+|[^\sA-Za-z\d]")


@dataclass(frozen=True, slots=True)
class ChunkSize:
    """How long passages get. `max_tokens` is an estimate that keeps heading and text in a window of 256."""

    target_chars: int = 900
    max_tokens: int = 220
    merge_below_chars: int = 200
    overlap_chars: int = 150


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage: `text[start:end]`, where its page is, and the headings above it."""

    start: int
    end: int
    page: int | None
    heading: str | None


@dataclass(frozen=True, slots=True)
class _Unit:
    """A span that is not cut further, and which paragraph (block) it is part of."""

    start: int
    end: int
    headings: tuple[str, ...]
    page: int | None
    paragraph: int
    inside_long_paragraph: bool = False
    tokens: int = 0


def cut(extraction: Extraction, size: ChunkSize) -> list[Chunk]:
    """Return the passages of a document in order; the same document always gives the same ones."""
    text = extraction.text
    body = [block for block in extraction.blocks if block.kind in {BlockKind.PARAGRAPH, BlockKind.LINES}]
    if not body:  # nothing but headings or listings: these are the text then
        body = list(extraction.blocks)
    units = [unit for number, block in enumerate(body) for unit in _units(extraction, block, number, size)]
    packed = [_span(run) for run in _pack(text, units, size)]
    return [
        Chunk(span.start, span.end, span.page, " > ".join(span.headings) or None)
        for span in _merge_small(text, packed, size)
    ]


def page_at(page_starts: Sequence[int], offset: int) -> int | None:
    """Return the page (from 1) on which an offset stands; None for unpaged documents."""
    return bisect_right(page_starts, offset) if page_starts else None


def estimate_tokens(text: str) -> int:
    """Return about how many word pieces a text has; in other scripts than Latin one a character."""
    return sum(
        1 + (len(match) - 1) // 7 if match.isalpha() else 1 + len(match) // 3 for match in _WORD.findall(text)
    )


def _units(extraction: Extraction, block: Block, number: int, size: ChunkSize) -> Iterator[_Unit]:
    text = extraction.text
    spans = _split(text, block.start, block.end, block.kind, size)
    long = len(spans) > 1 and block.kind is BlockKind.PARAGRAPH
    for start, end in spans:
        page, tokens = page_at(extraction.page_starts, start), estimate_tokens(text[start:end])
        yield _Unit(start, end, block.headings, page, number, long, tokens)


def _split(text: str, start: int, end: int, kind: BlockKind, size: ChunkSize) -> list[tuple[int, int]]:
    """Return spans that fit: the whole, else its sentences or lines, else its words, else plain cuts."""
    if _fits(text, start, end, size):
        return [(start, end)]
    by_sentence = [_SENTENCE_END, _LINE_END, _SPACE]
    for pattern in by_sentence if kind is BlockKind.PARAGRAPH else [_LINE_END, _SPACE]:
        pieces = _pieces(text, start, end, pattern)
        if len(pieces) > 1:
            rest = BlockKind.PARAGRAPH if pattern is _SENTENCE_END else BlockKind.LINES
            return [span for a, b in pieces for span in _split(text, a, b, rest, size)]
    middle = (start + end) // 2
    return [
        span
        for a, b in ((start, middle), (middle, end))
        for span in _split(text, a, b, BlockKind.LINES, size)
    ]


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
        added = unit.tokens + (estimate_tokens(text[run[-1].end : unit.start]) if run else 0)
        if run and not (
            _same_place(run[-1], unit)
            and unit.end - run[0].start <= size.target_chars
            and tokens + added <= size.max_tokens
        ):
            yield run
            run = _overlap(text, run, unit, size)
            tokens, added = sum(kept.tokens for kept in run), unit.tokens
        run.append(unit)
        tokens += added
    if run:
        yield run


def _same_place(one: _Unit, other: _Unit) -> bool:
    return one.headings == other.headings and one.page == other.page


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
    first, last = run[0], run[-1]
    return _Unit(first.start, last.end, first.headings, first.page, first.paragraph)


def _merge_small(text: str, spans: Sequence[_Unit], size: ChunkSize) -> list[_Unit]:
    """Join small neighbouring sections under the heading that both share."""
    merged: list[_Unit] = []
    for span in spans:
        before = merged[-1] if merged else None
        if before is not None and _mergeable(text, before, span, size):
            shared = _shared(before.headings, span.headings)
            merged[-1] = _Unit(before.start, span.end, shared, before.page, before.paragraph)
        else:
            merged.append(span)
    return merged


def _mergeable(text: str, before: _Unit, after: _Unit, size: ChunkSize) -> bool:
    small = min(before.end - before.start, after.end - after.start) < size.merge_below_chars
    related = before.headings == after.headings or bool(_shared(before.headings, after.headings))
    return small and related and before.page == after.page and _fits(text, before.start, after.end, size)


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    count = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    return one[:count]
