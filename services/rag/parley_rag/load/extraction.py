"""What a loader makes of a document: its text, and where its blocks and pages stand in that text."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

_UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufeff]")
_LINE_ENDS = re.compile(r"\r\n?|\x0c|\u2028|\u2029|\x85")


class UnreadableDocument(Exception):
    """The document cannot be read; the text says why, for people."""


def too_much_text(limit_chars: int) -> str:
    """Return what people are told about a text that is too long."""
    return f"The file holds more than {limit_chars:,} characters of text."


class BlockKind(StrEnum):
    """What a block is, as far as cutting it matters."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LINES = "lines"  # code and tables: cut between lines only
    LISTING = "listing"  # a table of contents or an index: kept in the text, never searched


@dataclass(frozen=True, slots=True)
class Block:
    """A span of the text, in code points, and the headings above it."""

    start: int
    end: int
    kind: BlockKind
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extraction:
    """The text of a document, its blocks in order, and where its pages start (none for unpaged ones)."""

    text: str
    blocks: tuple[Block, ...]
    title: str | None = None
    page_starts: tuple[int, ...] = ()


def storable(text: str) -> str:
    """Return the text with `\\n` line ends and without what a database refuses: NUL, lone surrogates."""
    return _UNSTORABLE.sub("", _LINE_ENDS.sub("\n", text))


@dataclass(slots=True)
class HeadingPath:
    """The headings above the place where a loader stands."""

    _open: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def enter(self, level: int, title: str) -> None:
        """Open a heading; it closes those of the same and lower rank."""
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        if title:
            self._open.append((level, title))

    def titles(self) -> tuple[str, ...]:
        return tuple(title for _, title in self._open)


class TextBuilder:
    """Puts a text together block by block, so that every block knows its exact span."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._page_starts: list[int] = []

    def start_page(self) -> None:
        """Let the next page start where the text ends now."""
        self._page_starts.append(self._length)

    def add(self, kind: BlockKind, text: str, headings: tuple[str, ...] = (), *, gap: str = "\n\n") -> None:
        """Append a block, `gap` before the next one; blank ones are left out."""
        clean = storable(text).strip("\n").rstrip()
        if not clean.strip():
            return
        self._blocks.append(Block(self._length, self._length + len(clean), kind, headings))
        self._parts.append(clean + gap)
        self._length += len(clean) + len(gap)

    def build(self, title: str | None) -> Extraction:
        """Return what was added."""
        clean_title = " ".join(storable(title).split())[:300] if title else None
        return Extraction(
            "".join(self._parts), tuple(self._blocks), clean_title or None, tuple(self._page_starts)
        )
