# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pypdfium2 ships no types; this module is the only one that touches it.
"""PDF: the text of every page, with its number and the headings of the document's outline."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise

from pypdfium2 import PdfDocument, PdfiumError

from parley_rag.load.extraction import (
    BlockKind,
    Extraction,
    HeadingPath,
    Metadata,
    ScannedDocument,
    TextBuilder,
    UnreadableDocument,
    too_much_text,
)
from parley_rag.load.limits import ReadLimits
from parley_rag.load.pdf_file import language, line_spots, object_count, open_pdf, picture_share
from parley_rag.load.pdf_headings import (
    MAX_HEADING_CHARS,
    OutlineEntry,
    PageHeading,
    numbered_headings,
    outline_headings,
)
from parley_rag.load.pdf_layout import (
    PageText,
    Spot,
    full_line_chars,
    is_listing,
    listed_title,
    paragraphs,
    without_line_hyphens,
)
from parley_rag.load.pdf_running import without_running_lines

_MIN_CHARS_A_PAGE = 3
_MAX_STAMP_CHARS = 80  # what scanners write on a page beside its picture
_FULL_PICTURE_SHARE = 0.6
_MAX_OUTLINE_ENTRIES = 50_000


@dataclass(frozen=True, slots=True)
class _Page:
    """The text layer of a page, where its lines stand, and whether the page is a picture."""

    text: str
    spots: tuple[Spot | None, ...] = ()
    scanned: bool = False


def load_pdf(data: bytes, limits: ReadLimits, recognised: Mapping[int, str]) -> Extraction:
    """Read a PDF; `recognised` is the text of scanned pages, by page from 1, as far as it is there."""
    document = open_pdf(data, limits.pages)
    try:
        layers = list(_pages(document, limits))
        scanned = tuple(number for number, page in enumerate(layers, start=1) if page.scanned)
        read = [
            PageText.of(recognised[number])
            if page.scanned and recognised.get(number)
            else PageText.of(page.text, page.spots)
            for number, page in enumerate(layers, start=1)
        ]
        pages = without_line_hyphens(read)
        still_scanned = tuple(number for number in scanned if number not in recognised)
        _refuse_scan(pages, scanned, still_scanned)
        built = _assemble(without_running_lines(pages), list(_outline(document)), document)
        return replace(built, scanned_pages=still_scanned)
    finally:
        document.close()


def _refuse_scan(pages: Sequence[PageText], scanned: Sequence[int], left: tuple[int, ...]) -> None:
    if any(page.chars for number, page in enumerate(pages, start=1) if number not in left):
        return
    if left:
        raise ScannedDocument(
            "The PDF holds no text, only pictures of pages (a scan). Run text recognition on it first.", left
        )
    raise UnreadableDocument(
        "No text was recognised in the pictures of pages that the PDF holds."
        if scanned
        else "The PDF holds no text: its pages are blank."
    )


def _pages(document: PdfDocument, limits: ReadLimits) -> Iterator[_Page]:
    chars_left = limits.text_chars
    for index in range(len(document)):
        try:
            page = document[index]
            text_page = page.get_textpage()
        except PdfiumError:
            yield _Page("")
            continue
        chars = int(text_page.count_chars())
        if chars > limits.page_chars:
            raise UnreadableDocument(f"Page {index + 1} holds more than {limits.page_chars:,} characters.")
        chars_left -= chars
        if chars_left < 0:
            raise UnreadableDocument(too_much_text(limits.text_chars))
        text = str(text_page.get_text_range())
        spots = tuple(line_spots(page, text_page, text))
        yield _Page(text, spots, _is_scanned(page, len(text.strip())))
        text_page.close()
        page.close()


def _is_scanned(page: object, chars: int) -> bool:
    """Return whether a page is a picture: it draws but says nothing, or little beside one that fills it."""
    if chars < _MIN_CHARS_A_PAGE:
        return object_count(page) > 0
    return chars < _MAX_STAMP_CHARS and picture_share(page) >= _FULL_PICTURE_SHARE


def _outline(document: PdfDocument) -> Iterator[OutlineEntry]:
    try:
        for bookmark in islice(document.get_toc(max_depth=6), _MAX_OUTLINE_ENTRIES):
            destination = bookmark.get_dest()
            page = destination.get_index() if destination is not None else None
            title = " ".join(str(bookmark.get_title()).split())[:MAX_HEADING_CHARS]
            if page is not None and title:
                yield OutlineEntry(int(page), int(bookmark.level), title)
    except (PdfiumError, UnicodeDecodeError):
        return


def _metadata(document: PdfDocument) -> tuple[str, Metadata]:
    """Return the title and what else the information dictionary says."""
    title, author, written, modified = (
        _said(document, key) for key in ("Title", "Author", "CreationDate", "ModDate")
    )
    return title, Metadata.of(author=author, language=language(document), written=written, modified=modified)


def _said(document: PdfDocument, key: str) -> str:
    try:
        return str(document.get_metadata_value(key) or "")
    except UnicodeDecodeError:  # half a character
        return ""


def _assemble(pages: Sequence[PageText], outline: list[OutlineEntry], document: PdfDocument) -> Extraction:
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
    return builder.build(*_metadata(document))


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
