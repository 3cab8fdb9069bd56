"""What a loader makes of a document: its text, and where its blocks and pages stand in that text."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from parley_rag.load.dates import as_ms

_UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufeff]")
_LINE_ENDS = re.compile(r"\r\n?|\x0c|\u2028|\u2029|\x85")

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,2}")
_MAX_LINE_CHARS = 300
_LOOKED_AT_CHARS = 3000  # of what may be one long line, each time


class UnreadableDocument(Exception):
    """The document cannot be read; the text says why, for people."""


def too_much_text(limit_chars: int) -> str:
    """Return what people are told about a text that is too long."""
    return f"The file holds more than {limit_chars:,} characters of text."


class ScannedDocument(UnreadableDocument):
    """All that the document shows are pictures of `pages` (from 1): their text has to be recognised."""

    def __init__(self, message: str, pages: tuple[int, ...]) -> None:
        super().__init__(message)
        self.pages = pages


class BlockKind(StrEnum):
    """What a block is, as far as cutting it matters."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LINES = "lines"  # what is set in lines: cut between them only
    TABLE = "table"  # a row a line: cut between rows, then between cells
    CODE = "code"  # source code: cut between definitions, then at blank lines
    LISTING = "listing"  # a table of contents or an index: kept in the text, never searched


@dataclass(frozen=True, slots=True)
class Block:
    """A span of the text, in code points, and the headings above it.

    `header` is its first line where later parts say little without it: a table's names of columns, the
    signature of a function.
    """

    start: int
    end: int
    kind: BlockKind
    headings: tuple[str, ...] = ()
    header: str = ""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a document says about itself; `language` is a BCP 47 tag."""

    author: str | None = None
    language: str | None = None
    written_at_ms: int | None = None
    modified_at_ms: int | None = None

    @classmethod
    def of(
        cls,
        *,
        author: str | None = None,
        language: str | None = None,
        written: datetime | date | str | None = None,
        modified: datetime | date | str | None = None,
    ) -> "Metadata":
        """Return what can be made of values as a document has them."""
        tag = (language or "").strip().replace("_", "-")
        return cls(
            author=one_line(author),
            language=tag if _LANGUAGE.fullmatch(tag) else None,
            written_at_ms=as_ms(written),
            modified_at_ms=as_ms(modified),
        )


@dataclass(frozen=True, slots=True)
class Extraction:
    """The text of a document, its blocks in order, and where its pages start (none for unpaged ones).

    `scanned_pages` (from 1) are pictures whose text is not there; `has_members` says that it holds files to
    be read as documents of their own.
    """

    text: str
    blocks: tuple[Block, ...]
    title: str | None = None
    page_starts: tuple[int, ...] = ()
    metadata: Metadata = field(default_factory=Metadata)
    scanned_pages: tuple[int, ...] = ()
    has_members: bool = False


def one_line(text: str | None) -> str | None:
    """Return a title, a name or a heading as one line that can be stored; None for nothing."""
    line = " ".join(storable((text or "")[:_LOOKED_AT_CHARS]).split())
    return line[:_MAX_LINE_CHARS] or None


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

    def add(
        self,
        kind: BlockKind,
        text: str,
        headings: tuple[str, ...] = (),
        *,
        gap: str = "\n\n",
        header: str = "",
    ) -> None:
        """Append a block, `gap` before the next one; blank ones are left out."""
        clean = storable(text).strip("\n").rstrip()
        if not clean.strip():
            return
        block = Block(self._length, self._length + len(clean), kind, headings, storable(header))
        self._blocks.append(block)
        self._parts.append(clean + gap)
        self._length += len(clean) + len(gap)

    def add_table(
        self, rows: Iterable[Iterable[str]], headings: tuple[str, ...] = (), *, has_header: bool = True
    ) -> None:
        """Append a table, a row a line; its first row names the columns unless it is said to name none."""
        lines = [line for line in map(_row, rows) if line]
        header = lines[0] if has_header and len(lines) > 1 else ""
        self.add(BlockKind.TABLE, "\n".join(lines), headings, header=header)

    def add_all(self, extraction: Extraction, headings: tuple[str, ...] = ()) -> None:
        """Append the blocks of another text, below these headings."""
        for block in extraction.blocks:
            text = extraction.text[block.start : block.end]
            self.add(block.kind, text, (*headings, *block.headings), header=block.header)

    def build(self, title: str | None, metadata: Metadata | None = None) -> Extraction:
        """Return what was added."""
        return Extraction(
            "".join(self._parts),
            tuple(self._blocks),
            one_line(title),
            tuple(self._page_starts),
            metadata or Metadata(),
        )


def _row(cells: Iterable[str]) -> str:
    """Return a table's row as a line; empty cells at its end are left out."""
    return " | ".join(" ".join(cell.split()) for cell in cells).rstrip(" |")
