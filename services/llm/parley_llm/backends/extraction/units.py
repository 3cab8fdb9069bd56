"""A passage as the units it can be quoted by: sentences, list items, table rows and code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from parley_llm.backends.extraction.sentences import split_sentences

LONGEST_UNIT_WORDS = 70
LONGEST_ITEM_WORDS = 40
LONGEST_HEADING_WORDS = 9
LONGEST_NUMBERED_HEADING_WORDS = 14
SHORTEST_OPEN_WORDS = 4
LONGEST_BARE_CODE_LINES = 6
CELL_BORDER = " | "

_FENCE = re.compile(r"^\s*(?:```|~~~)")
_MARKED_HEADING = re.compile(r"^#{1,6}\s+(?=\S)(?![a-z][\w-]*\s+(?:-|\w+$))")
_RULE = re.compile(r"^\s*([=~\-^*_#+])(?:\s*\1){2,}\s*$")
_ITEM = re.compile(r"^\s*(?:[-*+o\u2022\u2023\u25e6\u25aa\u2013\u00b7]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+(?=\S)")
_NUMBERED_HEADING = re.compile(r"^\s*(?:chapter|appendix|section|\d+(?:\.\d+)+\.?)\s+\S", re.IGNORECASE)
_SECTION_NUMBER = re.compile(r"^\W{0,3}\d+(?:\.\d+)+\.?\s+[A-Z/\"'\u2018\u201c][^.;?!]*[^.;:,?!]$")
_NUMBERED_TITLE = re.compile(r"^\d{1,2}\.\s+[^\W\d_][^.;:?!]{0,60}$")
_TABLE_RULE = re.compile(r"^\s*\|?[\s:|+-]+\|[\s:|+-]*$")
_CODE_SIGN = re.compile(
    r"[{}$|\\=<>;]|(?:^|\s)--?\w|^\s*[$#>%] |\(\)|\S/\S|^\S+\s*$|^\s*[a-z][\w.-]*(?: [\w.~-]+)*$"
)
_COMMAND_LINE = re.compile(
    r"^(?:[$%] )?[a-z./][\w./-]*(?:\s.*)?(?:\s--?[a-zA-Z][\w-]*|\s{2,}# \S).*(?<![.,:;?!])$|^[$%] \w"
)
_LABEL = re.compile(r"^\s*(?:#|[^\W\d]+(?:[ -][^\W\d]+){0,4}\??)?\s*$")
_DOT_LEADERS = re.compile(r"(?:\.\s?){5,}|(?:…\s?){2,}")
_PROMPT = re.compile(r"^\s*(?:\$ |[#%>] (?=[a-z][\w-]*(?:\s|$)))")


class UnitKind(Enum):
    """What a unit is in its passage."""

    SENTENCE = "sentence"
    ITEM = "item"
    ROW = "row"
    CODE = "code"
    HEADING = "heading"


@dataclass(frozen=True, slots=True)
class Unit:
    """A quotable span. `columns` are a row's column names; `is_whole` is false where a cut left a part.

    `runs_on` says that its sentence ends in the code after it, `names_columns` that a row heads its table.
    """

    text: str
    kind: UnitKind
    block: int
    columns: tuple[str, ...] = ()
    is_whole: bool = True
    runs_on: bool = False
    names_columns: bool = False

    @property
    def introduces(self) -> bool:
        """Whether what follows belongs to it."""
        is_prose = self.kind in {UnitKind.SENTENCE, UnitKind.ITEM}
        return self.runs_on or (is_prose and self.text.rstrip("*_ ").endswith(":"))

    @property
    def asks(self) -> bool:
        """Whether it is a question, answered by what follows."""
        return self.text.rstrip("*_ ").endswith("?")


def split_units(text: str) -> tuple[Unit, ...]:
    """Return the units of a passage in reading order; table-of-contents lines are left out."""
    units: list[Unit] = []
    for block, lines in enumerate(_blocks(text)):
        is_open = bool(units) and _is_open(units[-1])
        introduced = bool(units) and (units[-1].introduces or is_open)
        found = tuple(_block_units(lines, block, introduced=introduced))
        if is_open and found and found[0].kind is UnitKind.CODE:
            units[-1] = replace(units[-1], runs_on=True)
        units.extend(found)
    if units and units[0].kind is UnitKind.SENTENCE and units[0].text[:1].islower():
        units[0] = replace(units[0], is_whole=False)
    if units and _is_cut_off(units):
        units[-1] = replace(units[-1], is_whole=False)
    return tuple(units)


def _is_cut_off(units: list[Unit]) -> bool:
    """Whether the last unit stops without an end: any sentence, an item where the one before it has one."""
    last = units[-1]
    if not last.text[-1:].isalnum():
        return False
    if last.kind is UnitKind.ITEM:
        before = units[-2] if len(units) > 1 else last
        return before.kind is UnitKind.ITEM and before.text.endswith(".")
    return last.kind is UnitKind.SENTENCE


def _is_open(unit: Unit) -> bool:
    """Whether a sentence stops without an end, as one does whose last words are the code after it."""
    is_long_enough = len(unit.text.split()) >= SHORTEST_OPEN_WORDS
    return unit.kind is UnitKind.SENTENCE and is_long_enough and unit.text[-1].isalnum()


def _blocks(text: str) -> Iterator[list[str]]:
    """Yield runs of lines parted by blank lines; a fenced block is one run with its fences."""
    block: list[str] = []
    is_fenced = False
    for line in text.expandtabs(4).splitlines():
        if _FENCE.match(line):
            if not is_fenced and block:
                yield block
                block = []
            block.append(line)
            is_fenced = not is_fenced
            if not is_fenced:
                yield block
                block = []
        elif line.strip() or is_fenced:
            if not _DOT_LEADERS.search(line):
                block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _block_units(lines: list[str], block: int, *, introduced: bool) -> Iterator[Unit]:
    if _FENCE.match(lines[0]):
        code = "\n".join(line for line in lines if not _FENCE.match(line))
        if code.strip():
            yield Unit(_dedented(code), UnitKind.CODE, block)
    elif _is_code(lines, introduced=introduced):
        yield Unit(_dedented("\n".join(lines)), UnitKind.CODE, block)
    elif sum(line.count("|") >= 2 for line in lines) >= 2 or _are_plain_rows(lines):
        yield from _table_units(lines, block)
    elif len(lines) == 1 and (_is_heading_line(lines[0]) or _NUMBERED_TITLE.match(lines[0])):
        yield Unit(lines[0].strip(" #*_"), UnitKind.HEADING, block)
    else:
        yield from _flowing_units(lines, block)


def _is_code(lines: list[str], *, introduced: bool) -> bool:
    """Whether a block is code: it looks so, and it is introduced, or indented and every line agrees."""
    if _ITEM.match(lines[0]):
        return False
    if all(_COMMAND_LINE.match(line.rstrip()) for line in lines):
        return True
    signed = sum(bool(_CODE_SIGN.search(line)) and not line.rstrip().endswith((".", ",")) for line in lines)
    if not all(line.startswith("    ") for line in lines):
        return introduced and signed == len(lines) <= LONGEST_BARE_CODE_LINES
    return signed == len(lines) or (introduced and signed * 2 >= len(lines))


def _is_heading_line(line: str) -> bool:
    plain = line.strip()
    if _MARKED_HEADING.match(plain):
        return True
    if len(plain.split()) > LONGEST_HEADING_WORDS or plain[-1] in ".:;,!?" or _ITEM.match(line):
        return False
    return plain[0].isupper() or bool(_NUMBERED_HEADING.match(plain))


def _are_plain_rows(lines: list[str]) -> bool:
    """Whether lines are the rows of a table that is written without its rules, of two columns or more."""
    return lines[0].count(CELL_BORDER) > 0 and all(CELL_BORDER in line for line in lines)


def _names_columns(lines: list[str]) -> bool:
    """Whether the first of plain rows is short labels only, and the others are not."""
    first, *others = (line.split(CELL_BORDER) for line in lines)
    are_labels = len(first) > 1 and all(_LABEL.match(cell) for cell in first)
    return are_labels and any(not all(_LABEL.match(cell) for cell in cells) for cells in others)


def _table_units(lines: list[str], block: int) -> Iterator[Unit]:
    """Yield the rows of a table with their column names; lines around it flow."""
    columns: tuple[str, ...] = ()
    is_head = _names_columns(lines)
    fewest_borders = 1 if _are_plain_rows(lines) else 2
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if _TABLE_RULE.match(line) or _RULE.match(line):
            continue
        if line.count("|") < fewest_borders:
            yield from _flowing_units([line], block)
            continue
        cells = tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
        if not columns and _TABLE_RULE.match(following):
            columns = cells
            continue
        text = _row_text(columns, cells)
        yield Unit(text, UnitKind.ROW, block, columns=columns, names_columns=is_head)
        is_head = False


def _row_text(columns: tuple[str, ...], cells: tuple[str, ...]) -> str:
    if len(columns) != len(cells):
        return " · ".join(cell for cell in cells if cell)
    return " · ".join(
        f"{column}: {cell}" if column else cell for column, cell in zip(columns, cells, strict=True) if cell
    )


def _flowing_units(lines: list[str], block: int) -> Iterator[Unit]:
    """Yield headings, list items and sentences of lines that flow."""
    pending: list[str] = []
    kind = UnitKind.SENTENCE
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if _RULE.match(line):
            continue
        is_code = bool(_PROMPT.match(line))
        is_heading = _opens_section(line, following)
        if is_code or is_heading or _ITEM.match(line):
            yield from _text_units(pending, kind, block)
            pending, kind = [], UnitKind.SENTENCE
        if is_code:
            yield Unit(line.strip(), UnitKind.CODE, block)
        elif is_heading:
            yield Unit(line.strip(" #*_"), UnitKind.HEADING, block)
        elif _ITEM.match(line):
            pending, kind = [line], UnitKind.ITEM
        else:
            pending.append(line)
    yield from _text_units(pending, kind, block)


def _opens_section(line: str, following: str) -> bool:
    """Whether a line inside a block is a heading: marked, underlined, or in capitals."""
    plain = line.strip()
    if _PROMPT.match(line) and not _MARKED_HEADING.match(plain):
        return False
    is_capitals = plain.isupper() and 1 <= len(plain.split()) <= LONGEST_HEADING_WORDS and len(plain) > 3
    is_numbered = bool(_SECTION_NUMBER.match(plain)) and len(plain.split()) <= LONGEST_NUMBERED_HEADING_WORDS
    is_underlined = bool(_RULE.match(following)) and not _ITEM.match(line)
    is_marked = bool(_MARKED_HEADING.match(plain)) or is_numbered or is_underlined
    return is_marked or (is_capitals and not _ITEM.match(line))


def _text_units(lines: list[str], kind: UnitKind, block: int) -> Iterator[Unit]:
    if not lines:
        return
    if kind is UnitKind.ITEM:
        lines = [_ITEM.sub("", lines[0]), *lines[1:]]
    joined = _joined(lines)
    sentences = split_sentences(joined)
    if len(joined.split()) > LONGEST_UNIT_WORDS and len(joined.split()) > LONGEST_UNIT_WORDS * len(sentences):
        sentences = tuple(line.strip() for line in lines)
    if kind is UnitKind.ITEM and len(joined.split()) <= LONGEST_ITEM_WORDS:
        sentences = (joined,)
    for sentence in sentences:
        yield Unit(sentence, kind, block)


def _joined(lines: list[str]) -> str:
    """Return lines as one, a word that a hyphen parts at a line's end kept with its hyphen."""
    joined = ""
    for line in (" ".join(line.split()) for line in lines):
        is_parted = len(joined) > 1 and joined[-1] == "-" and joined[-2].isalpha() and line[:1].islower()
        joined = f"{joined}{line}" if is_parted or not joined else f"{joined} {line}"
    return joined


def _dedented(code: str) -> str:
    lines = [line.rstrip() for line in code.strip("\n").splitlines()]
    margin = min((len(line) - len(line.lstrip()) for line in lines if line), default=0)
    return "\n".join(line[margin:] for line in lines)
