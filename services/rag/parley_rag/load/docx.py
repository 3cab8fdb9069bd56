# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false
# python-docx's types end where lxml's begin.
"""DOCX: paragraphs and tables in order, headings by style, notes at the end."""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import cast
from zipfile import BadZipFile

from docx import Document
from docx.document import Document as DocxDocument
from docx.opc.exceptions import OpcError
from docx.opc.part import Part

from parley_rag.load.extraction import (
    BlockKind,
    Extraction,
    HeadingPath,
    Metadata,
    TextBuilder,
    UnreadableDocument,
)
from parley_rag.load.limits import ReadLimits
from parley_rag.load.xml_parts import Element, parse_xml, plain_package

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_HEADING = re.compile(r"heading (\d)", re.I)
_BREAKS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
_HIDDEN = frozenset((f"{_W}del", f"{_W}moveFrom", f"{_W}instrText", f"{_W}pPr", f"{_W}rPr", _FALLBACK))
_HOLDERS = frozenset((f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins", f"{_W}moveTo", f"{_W}customXml"))
_TEXT_BOX = f"{_W}txbxContent"
_NOTES = ("/footnotes", "/endnotes")
_MAX_DEPTH = 200


def load_docx(data: bytes, limits: ReadLimits) -> Extraction:
    """Read a Word document."""
    try:
        document = Document(BytesIO(plain_package(data, limits)))
        writer = _Writer(_heading_levels(document))
        writer.write(cast(Element, document.element.body))
        notes = [part.blob for part in _note_parts(document)]
    except (OpcError, BadZipFile, KeyError, ValueError, AttributeError, SyntaxError) as error:
        raise UnreadableDocument(
            "The Word document is damaged, or a template or one with macros: save it as DOCX."
        ) from error
    for content in notes:
        writer.write_notes(parse_xml(content))
    title, metadata = _properties(document)
    return writer.builder.build(title or writer.title, metadata)


def _properties(document: DocxDocument) -> tuple[str, Metadata]:
    properties = document.core_properties
    try:
        dates = properties.created, properties.modified
    except ValueError:
        dates = None, None
    metadata = Metadata.of(
        author=properties.author, language=properties.language, written=dates[0], modified=dates[1]
    )
    return properties.title, metadata


def _heading_levels(document: DocxDocument) -> dict[str, int]:
    """Return the level of each style that is a heading, 0 for the title's; by its name or outline level."""
    levels: dict[str, int] = {}
    for style in document.styles:
        name = style.name or ""
        outline = cast(Element, style.element).find(f"{_W}pPr/{_W}outlineLvl")
        if match := _HEADING.fullmatch(name):
            levels[style.style_id] = int(match[1])
        elif name == "Title":
            levels[style.style_id] = 0
        elif outline is not None:
            levels[style.style_id] = _outline_level(outline)
    return {style: level for style, level in levels.items() if 0 <= level <= 9}


def _outline_level(element: Element) -> int:
    value = element.get(f"{_W}val") or ""
    return int(value) + 1 if value.isdecimal() and int(value) < 9 else -1


def _note_parts(document: DocxDocument) -> Iterator[Part]:
    for relationship in document.part.rels.values():
        if not relationship.is_external and relationship.reltype.endswith(_NOTES):
            yield relationship.target_part


class _Writer:
    """Walks the body without recursion into what it does not know."""

    def __init__(self, levels: dict[str, int]) -> None:
        self.builder = TextBuilder()
        self.title: str | None = None
        self._levels = levels
        self._path = HeadingPath()

    def write(self, body: Element) -> None:
        stack = [body.iterchildren()]
        while stack:
            element = next(stack[-1], None)
            if element is None:
                stack.pop()
            elif element.tag == f"{_W}p":
                self._paragraph(element)
            elif element.tag == f"{_W}tbl":
                self.builder.add_table(_rows(element), self._path.titles())
            elif element.tag in _HOLDERS and len(stack) < _MAX_DEPTH:
                stack.append(element.iterchildren())

    def write_notes(self, notes: Element) -> None:
        """Add footnotes or endnotes; those with a type are lines between text and notes."""
        for note in notes.iterchildren():
            if note.get(f"{_W}type") is None:
                self.builder.add(BlockKind.PARAGRAPH, _text(note).strip())

    def _paragraph(self, paragraph: Element) -> None:
        text, level = _text(paragraph).strip(), self._level(paragraph)
        if level is None or not text:
            marker = "- " if paragraph.find(f"{_W}pPr/{_W}numPr") is not None else ""
            gap = "\n" if marker else "\n\n"
            self.builder.add(BlockKind.PARAGRAPH, marker + text if text else "", self._path.titles(), gap=gap)
            return
        heading = " ".join(text.split())
        self.title = self.title or (heading if level <= 1 else None)
        self._path.enter(level, heading)
        self.builder.add(BlockKind.HEADING, heading, self._path.titles())

    def _level(self, paragraph: Element) -> int | None:
        outline = paragraph.find(f"{_W}pPr/{_W}outlineLvl")
        if outline is not None and (level := _outline_level(outline)) > 0:
            return level
        style = paragraph.find(f"{_W}pPr/{_W}pStyle")
        return self._levels.get(style.get(f"{_W}val") or "") if style is not None else None


def _rows(table: Element) -> Iterator[list[str]]:
    """Yield the cells of each row; a table in a cell reads as its text."""
    for row in _children(table, f"{_W}tr"):
        yield [
            "; ".join(text for paragraph in _paragraphs(cell) if (text := _text(paragraph).strip()))
            for cell in _children(row, f"{_W}tc")
        ]


def _children(parent: Element, tag: str) -> Iterator[Element]:
    """Yield children of a tag, those in content controls too."""
    for child in parent.iterchildren():
        if child.tag == tag:
            yield child
        elif child.tag in _HOLDERS:
            yield from (inner for inner in child.iter(tag))


def _paragraphs(cell: Element) -> Iterator[Element]:
    """Yield the paragraphs of a cell, of tables in it too; what stands in a paragraph is a part of it."""
    stack = [cell.iterchildren()]
    while stack:
        element = next(stack[-1], None)
        if element is None:
            stack.pop()
        elif element.tag == f"{_W}p":
            yield element
        elif element.tag not in _HIDDEN:
            stack.append(element.iterchildren())


def _text(root: Element) -> str:
    """Return what a paragraph reads as: insertions in, deletions out, text boxes on lines of their own."""
    parts: list[str] = []
    stack = [root.iterchildren()]
    while stack:
        element = next(stack[-1], None)
        if element is None:
            stack.pop()
        elif element.tag == f"{_W}t":
            parts.append(element.text or "")
        elif element.tag in _BREAKS:
            parts.append(_BREAKS[element.tag])
        elif element.tag not in _HIDDEN:
            if element.tag in {_TEXT_BOX, f"{_W}p"}:
                parts.append("\n")
            stack.append(element.iterchildren())
    return "".join(parts)
