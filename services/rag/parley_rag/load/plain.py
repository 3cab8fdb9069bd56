"""Plain text: kept as it is, with its paragraphs, underlined and numbered headings found."""

import re

from parley_rag.load.extraction import Block, BlockKind, Extraction, HeadingPath, storable
from parley_rag.load.sniff import decode

_PARAGRAPH = re.compile(r"[^\n]*\S[^\n]*(?:\n[^\n]*\S[^\n]*)*")
_UNDERLINE = re.compile(r"\s*([=\-~*#^_])\1{2,}\s*")
_NUMBERED = re.compile(r"(\d{1,3}(?:\.\d{1,3})*)\.?[ \t]+([A-Z\"'(`].{0,78}?)\s*")
_INDENTED = re.compile(r"(?:\t| {4,})\S")
_UNDERLINE_LEVELS = {"=": 1, "*": 1, "#": 1, "-": 2, "~": 3, "^": 3, "_": 3}


def load_plain(data: bytes) -> Extraction:
    """Read plain text; its offsets are those of the text with `\\n` line ends."""
    text = storable(decode(data))
    path = HeadingPath()
    blocks: list[Block] = []
    title: str | None = None
    for match in _PARAGRAPH.finditer(text):
        heading_end, level, heading = _heading(match.group())
        if heading:
            path.enter(level, heading)
            title = title or (heading if level == 1 else None)
            blocks.append(Block(match.start(), match.start() + heading_end, BlockKind.HEADING, path.titles()))
        start = match.start() + heading_end
        while start < match.end() and text[start] == "\n":
            start += 1
        if start < match.end():
            blocks.append(Block(start, match.end(), _kind(text[start : match.end()]), path.titles()))
    return Extraction(text, tuple(blocks), title)


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
