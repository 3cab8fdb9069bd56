"""Plain text: kept as it is, with its paragraphs, underlined and numbered headings found."""

import re

from parley_rag.load.extraction import Block, BlockKind, Extraction, HeadingPath, storable
from parley_rag.load.plain_contents import contents_spans
from parley_rag.load.sniff import decode

# A line is looked at from its start only, so that blank ones of any length take no longer than others.
_PARAGRAPH = re.compile(r"^[^\S\n]*+\S[^\n]*(?:\n[^\S\n]*+\S[^\n]*)*", re.M)
_UNDERLINE = re.compile(r"\s*([=\-~*#^_])\1{2,}\s*")
_NUMBERED = re.compile(r"(\d{1,3}(?:\.\d{1,3})*)\.?[ \t]+([A-Z\"'(`].{0,78}?)\s*")
_INDENTED = re.compile(r"(?:\t| {4,})\S")
_ITEM = re.compile(r"[ \t]*(?:[-*+\u2022]|\(?(?:\d{1,3}|[A-Za-z])[.)])[ \t]+\S")
_UNDERLINE_LEVELS = {"=": 1, "*": 1, "#": 1, "-": 2, "~": 3, "^": 3, "_": 3}


def load_plain(data: bytes) -> Extraction:
    """Read plain text; its offsets are those of the text with `\\n` line ends."""
    writer = _Writer(storable(decode(data)))
    at = 0
    for start, end in contents_spans(writer.text):
        writer.write(at, start)
        writer.add_listing(start, end)
        at = end
    writer.write(at, len(writer.text))
    return Extraction(writer.text, tuple(writer.blocks), writer.title)


class _Writer:
    """Finds the blocks of a text, stretch by stretch."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.blocks: list[Block] = []
        self.title: str | None = None
        self._path = HeadingPath()

    def add_listing(self, start: int, end: int) -> None:
        self.blocks.append(Block(start, end, BlockKind.LISTING, self._path.titles()))

    def write(self, start: int, end: int) -> None:
        """Add the blocks between two offsets."""
        item_indent: int | None = None  # of the list item that the last block is
        for match in _PARAGRAPH.finditer(self.text, start, end):
            heading_end, level, heading = _heading(match.group())
            if heading:
                self._enter(match.start(), match.start() + heading_end, level, heading)
                item_indent = None
            begin = match.start() + heading_end
            while begin < match.end() and self.text[begin] == "\n":
                begin += 1
            if begin == match.end():
                continue
            indent = _indent(self.text[begin : match.end()])
            if item_indent is not None and indent > item_indent:
                self._extend_item(match.end())
                continue
            words = self.text[begin : match.end()]
            self.blocks.append(Block(begin, match.end(), _kind(words), self._path.titles()))
            item_indent = indent if _ITEM.match(words) else None

    def _enter(self, start: int, end: int, level: int, heading: str) -> None:
        self._path.enter(level, heading)
        self.title = self.title or (heading if level == 1 else None)
        self.blocks.append(Block(start, end, BlockKind.HEADING, self._path.titles()))

    def _extend_item(self, end: int) -> None:
        """Let the last block, an item, go on with a further paragraph that is indented below it."""
        item = self.blocks[-1]
        self.blocks[-1] = Block(item.start, end, item.kind, item.headings)


def _indent(paragraph: str) -> int:
    """Return the least indentation of its lines."""
    return min(len(line) - len(line.lstrip()) for line in paragraph.split("\n"))


def _heading(paragraph: str) -> tuple[int, int, str]:
    """Return where the heading at a paragraph's start ends, its level and its words; (0, 0, "") for none."""
    first, _, rest = paragraph.partition("\n")
    second = rest.partition("\n")[0]
    underline = _UNDERLINE.fullmatch(second)
    title = first.strip()
    if (
        underline
        and len(title) >= 2
        and not _UNDERLINE.fullmatch(first)
        and len(second.strip()) >= len(title) // 2
    ):
        return len(first) + 1 + len(second), _UNDERLINE_LEVELS[underline.group(1)], title
    if not rest and (numbered := _NUMBERED.fullmatch(first)) and not title.endswith((".", ",", ";", ":")):
        return len(first), numbered.group(1).count(".") + 1, title
    return 0, 0, ""


def _kind(paragraph: str) -> BlockKind:
    lines = paragraph.split("\n")
    indented = sum(1 for line in lines if _INDENTED.match(line))
    return BlockKind.LINES if indented > len(lines) / 2 and len(lines) > 1 else BlockKind.PARAGRAPH
