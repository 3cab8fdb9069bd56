# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pypdfium2 ships no types; this module is the only one that touches it.
"""PDF: the text of every page, with its number and the headings of the document's outline."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pypdfium2
from pypdfium2 import PdfDocument, PdfiumError

from parley_rag.load.extraction import BlockKind, Extraction, HeadingPath, TextBuilder, UnreadableDocument
from parley_rag.load.pdf_headings import (
    MAX_HEADING_CHARS,
    OutlineEntry,
    PageHeading,
    numbered_headings,
    outline_headings,
)
from parley_rag.load.pdf_layout import (
    PageText,
    full_line_chars,
    is_listing,
    listed_title,
    paragraphs,
    without_line_hyphens,
    without_running_lines,
)

_PASSWORD_ERRORS = ("password", "security")
_MIN_CHARS_A_PAGE = 3


def load_pdf(data: bytes) -> Extraction:
    """Read a PDF that has a text layer."""
    document = _open(data)
    try:
        pages = [PageText.of(text) for text in without_line_hyphens(list(_page_texts(document)))]
        if sum(page.chars for page in pages) < _MIN_CHARS_A_PAGE * len(pages):
            raise UnreadableDocument(
                "The PDF holds no text, only pictures of pages (a scan). Run text recognition on it first."
            )
        title = str(document.get_metadata_value("Title") or "")
        return _assemble(without_running_lines(pages), list(_outline(document)), title)
    finally:
        document.close()


def _open(data: bytes) -> PdfDocument:
    try:
        document = pypdfium2.PdfDocument(data)
        pages = len(document)
    except PdfiumError as error:
        if any(word in str(error).lower() for word in _PASSWORD_ERRORS):
            raise UnreadableDocument(
                "The PDF is encrypted: remove its password and upload it again."
            ) from error
        raise UnreadableDocument("The PDF is damaged and cannot be opened.") from error
    if not pages:
        raise UnreadableDocument("The PDF has no pages.")
    return document


def _page_texts(document: PdfDocument) -> Iterator[str]:
    for index in range(len(document)):
        try:
            page = document[index]
            text_page = page.get_textpage()
        except PdfiumError:
            yield ""
            continue
        yield str(text_page.get_text_range())
        text_page.close()
        page.close()


def _outline(document: PdfDocument) -> Iterator[OutlineEntry]:
    try:
        for bookmark in document.get_toc(max_depth=6):
            destination = bookmark.get_dest()
            page = destination.get_index() if destination is not None else None
            title = " ".join(str(bookmark.get_title()).split())[:MAX_HEADING_CHARS]
            if page is not None and title:
                yield OutlineEntry(int(page), int(bookmark.level), title)
    except PdfiumError:
        return


def _assemble(pages: Sequence[PageText], outline: list[OutlineEntry], title: str) -> Extraction:
    builder, path = TextBuilder(), HeadingPath()
    listings = [is_listing(page.lines) for page in pages]
    body = [PageText(()) if listed else page for page, listed in zip(pages, listings, strict=True)]
    contents = [
        listed_title(line)
        for page, listed in zip(pages, listings, strict=True)
        if listed
        for line in page.lines
    ]
    numbered = numbered_headings(body, contents)
    for number, page in enumerate(pages):
        builder.start_page()
        here = [entry for entry in outline if entry.page == number]
        if listings[number]:
            _enter_all(path, here)
            builder.add(BlockKind.LISTING, "\n".join(page.lines), path.titles())
            continue
        headings = outline_headings(page.lines, here) if outline else numbered[number]
        borders = {heading.line for heading in numbered[number]}
        _write_page(builder, path, page, headings, borders)
        located = sum(len(heading.entries) for heading in headings)
        _enter_all(path, here[located:])
    return builder.build(title)


def _write_page(
    builder: TextBuilder,
    path: HeadingPath,
    page: PageText,
    headings: Sequence[PageHeading],
    borders: set[int],
) -> None:
    """Add a page's paragraphs; a title is one of its own, and searched with the text below it.

    The lines at `borders` are numbered titles that no heading names: they stay alone.
    """
    lines, full = page.lines, full_line_chars(page.lines)

    def write_text(start: int, end: int) -> None:
        inner = {edge for line in borders for edge in (line, line + 1) if start < edge < end}
        for first, after in pairwise(sorted({start, end, *inner})):
            for paragraph in paragraphs(lines[first:after], full):
                builder.add(BlockKind.PARAGRAPH, paragraph, path.titles(), gap="\n")

    at = 0
    for heading in headings:
        write_text(at, heading.line)
        _enter_all(path, heading.entries)
        at = heading.line + heading.lines
        if heading.lines:
            kind = BlockKind.PARAGRAPH if at < len(lines) else BlockKind.HEADING
            words = " ".join(line.strip() for line in lines[heading.line : at])
            builder.add(kind, words, path.titles(), gap="\n")
    write_text(at, len(lines))


def _enter_all(path: HeadingPath, entries: Sequence[OutlineEntry]) -> None:
    for entry in entries:
        path.enter(entry.level, entry.title)
