"""Source code: kept as it is, a block for each definition at its outermost level."""

import re
from pathlib import PurePosixPath

from parley_rag.load.extraction import Block, BlockKind, Extraction, storable
from parley_rag.load.sniff import decode

BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")  # all of a run at once, so that the work is linear
_GOES_ON = " \t})]"
_NOT_SIGNATURE = re.compile(r"\s*(?:#|//|/\*|\*|--|;|@|\[|$)")
_MAX_HEADER_CHARS = 160


def load_source_code(data: bytes, name: str) -> Extraction:
    """Read a program text."""
    text = storable(decode(data))
    ends = (match.end() for match in BLANK_LINES.finditer(text))
    edges = [end for end in ends if end < len(text) and text[end] not in _GOES_ON]
    blocks: list[Block] = []
    for start, end in zip([0, *edges], [*edges, len(text)], strict=True):
        words = text[start:end].rstrip()
        if words.strip():
            blocks.append(Block(start, start + len(words), BlockKind.CODE, (), _signature(words)))
    return Extraction(text, tuple(blocks), PurePosixPath(name).name)


def _signature(definition: str) -> str:
    """Return the line that names a definition: the first that is no comment and no decorator."""
    lines = (line for line in definition.split("\n") if not _NOT_SIGNATURE.match(line))
    return next(lines, "").strip()[:_MAX_HEADER_CHARS]
