# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pypdfium2 ships no types; this module is the only one that touches it.
"""PDF: the text of every page, with its number and the headings of the document's outline."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pypdfium2
from pypdfium2 import PdfDocument, PdfiumError

from parley_rag.load.extraction import BlockKind, Extraction, HeadingPath, TextBuilder, UnreadableDocument
from parley_rag.load.pdf_layout import (
    PageText,
    is_listing,
    paragraphs,
    without_line_hyphens,
    without_running_lines,
)

_PASSWORD_ERRORS = ("password", "security")
_MAX_HEADING_CHARS = 200
_MIN_CHARS_A_PAGE = 3


@dataclass(frozen=True, slots=True)
class _OutlineEntry:
    page: int
    level: int
    title: str


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


def _outline(document: PdfDocument) -> Iterator[_OutlineEntry]:
    try:
        for bookmark in document.get_toc(max_depth=6):
            destination = bookmark.get_dest()
            page = destination.get_index() if destination is not None else None
            title = " ".join(str(bookmark.get_title()).split())[:_MAX_HEADING_CHARS]
            if page is not None and title:
                yield _OutlineEntry(int(page), int(bookmark.level), title)
    except PdfiumError:
        return


def _assemble(pages: Sequence[PageText], outline: list[_OutlineEntry], title: str) -> Extraction:
    builder, path = TextBuilder(), HeadingPath()
    for number, page in enumerate(pages):
        builder.start_page()
        here = [entry for entry in outline if entry.page == number]
        if is_listing(page.lines):
            _enter_all(path, here)
            builder.add(BlockKind.LISTING, "\n".join(page.lines), path.titles())
            continue
        for paragraph in paragraphs(page.lines):
            reached = _reached(here, paragraph)
            _enter_all(path, here[:reached])
            here = here[reached:]
            builder.add(BlockKind.PARAGRAPH, paragraph, path.titles(), gap="\n")
        _enter_all(path, here)
    return builder.build(title)


def _enter_all(path: HeadingPath, entries: Sequence[_OutlineEntry]) -> None:
    for entry in entries:
        path.enter(entry.level, entry.title)


def _reached(entries: Sequence[_OutlineEntry], paragraph: str) -> int:
    """Return how many of the page's outline entries have begun once this paragraph begins."""
    words = _letters(paragraph)[: _MAX_HEADING_CHARS + 20]
    for index in range(len(entries) - 1, -1, -1):
        heading = _letters(entries[index].title)
        at = words.find(heading) if heading else -1
        if 0 <= at <= 20:  # a number such as "Chapter 12" may stand before the title
            return index + 1
    return 0


def _letters(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())
