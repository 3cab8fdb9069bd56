# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pypdfium2 ships no types; its raw interface is used in this module only.
"""A PDF as a file: opened within limits, what its pages draw, and pages as pictures."""

import ctypes
import re
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from math import isfinite
from typing import cast

import pypdfium2
from pypdfium2 import PdfBitmap, PdfDocument, PdfiumError, PdfPage, PdfTextPage, raw

from parley_rag.load.extraction import UnreadableDocument
from parley_rag.load.pdf_layout import Spot

_PASSWORD_ERRORS = ("password", "security")
_DPI = 200
_POINTS_PER_INCH = 72
_MAX_PIXELS = 20_000_000
_MAX_OBJECTS_LOOKED_AT = 1_000
_LANGUAGE_BYTES = 200
_FONT_NAME_BYTES = 200
_LINE_END = re.compile(r"(\r\n|\r|\n)")
_SIDEWAYS = (90, 270)
_MAX_PLACED_LINES = 1_000
_PNG_START = b"\x89PNG\r\n\x1a\n"
_GREY_8_BIT = (8, 0, 0, 0, 0)


def open_pdf(data: bytes, max_pages: int) -> PdfDocument:
    """Return an opened PDF; UnreadableDocument when it is encrypted, damaged, empty or too long."""
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
    if pages > max_pages:
        raise UnreadableDocument(f"The PDF has more than {max_pages:,} pages.")
    return document


def object_count(page: object) -> int:
    """Return how many things a page draws."""
    return int(raw.FPDFPage_CountObjects(page))


def picture_share(page: object) -> float:
    """Return how much of a page its largest picture covers."""
    sheet = cast(PdfPage, page)
    width, height = sheet.get_size()
    largest = 0.0
    for number, picture in enumerate(sheet.get_objects(filter=(raw.FPDF_PAGEOBJ_IMAGE,), max_depth=2)):
        left, bottom, right, top = picture.get_bounds()
        largest = max(largest, (right - left) * (top - bottom))
        if number >= _MAX_OBJECTS_LOOKED_AT:
            break
    return largest / (width * height) if width * height else 0.0


def line_spots(page: PdfPage, text_page: PdfTextPage, text: str) -> Iterator[Spot | None]:
    """Yield where each line of a page's text stands, as its first character does; None for empty lines.

    Nothing for a page of more lines than a sheet of paper holds.
    """
    parts = _LINE_END.split(text)
    if len(parts) > 2 * _MAX_PLACED_LINES:
        return
    sheet = (*page.get_bbox(), page.get_rotation())
    at = 0
    for number, part in enumerate(parts):
        if number % 2 == 0:  # what stands between two line ends
            words = part.lstrip()
            begin = at + len(part) - len(words)
            char = int(raw.FPDFText_GetCharIndexFromTextIndex(text_page, begin)) if words else -1
            yield _spot(sheet, text_page, char) if char >= 0 else None
        at += len(part)


def _spot(sheet: tuple[float, float, float, float, int], text_page: PdfTextPage, char: int) -> Spot | None:
    """Return where a character stands on a sheet of these sides and rotation; None when that is nowhere."""
    left, bottom, right, top, turned = sheet
    x, y, box = ctypes.c_double(), ctypes.c_double(), raw.FS_RECTF()
    raw.FPDFText_GetCharOrigin(text_page, char, x, y)
    raw.FPDFText_GetLooseCharBox(text_page, char, box)
    font, flags = ctypes.create_string_buffer(_FONT_NAME_BYTES), ctypes.c_int()
    raw.FPDFText_GetFontInfo(text_page, char, font, _FONT_NAME_BYTES, flags)
    depth = {90: x.value - left, 180: y.value - bottom, 270: right - x.value}.get(turned, top - y.value)
    is_sideways = turned in _SIDEWAYS
    height = right - left if is_sideways else top - bottom
    size = box.right - box.left if is_sideways else box.top - box.bottom
    if not all(isfinite(measure) for measure in (depth, height, size)):
        return None
    return Spot(depth, depth, height, size, sys.intern(font.value.decode(errors="replace")))


def language(document: PdfDocument) -> str:
    """Return the language that a document says its text is in."""
    buffer = (ctypes.c_ushort * _LANGUAGE_BYTES)()
    length = int(raw.FPDFCatalog_GetLanguage(document, buffer, ctypes.sizeof(buffer)))
    return bytes(buffer)[: max(0, length - 2)].decode("utf-16-le", errors="replace")


def pictures(data: bytes, pages: Iterable[int], max_pages: int) -> Iterator[tuple[int, bytes]]:
    """Yield pages (from 1) as grey PNG pictures of 200 dots an inch, fewer on very large pages."""
    document = open_pdf(data, max_pages)
    try:
        for number in pages:
            if not 1 <= number <= len(document):
                continue
            page = document[number - 1]
            width, height = page.get_size()
            scale = min(_DPI / _POINTS_PER_INCH, (_MAX_PIXELS / max(width * height, 1)) ** 0.5)
            with suppress(ValueError):  # a page without extent
                bitmap = page.render(scale=scale, grayscale=True)  # pyright: ignore[reportArgumentType]  it takes fractions
                yield number, _png(bitmap)
                bitmap.close()
            page.close()
    except PdfiumError as error:
        raise UnreadableDocument("The PDF is damaged: a page cannot be drawn.") from error
    finally:
        document.close()


def _png(bitmap: PdfBitmap) -> bytes:
    """Return a grey bitmap as PNG; each row begins with its filter, none."""
    width, height, stride = int(bitmap.width), int(bitmap.height), int(bitmap.stride)
    grey = memoryview(bitmap.buffer).cast("B")
    rows = b"".join(b"\0" + grey[at : at + width] for at in range(0, height * stride, stride))
    header = struct.pack(">2I5B", width, height, *_GREY_8_BIT)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return _PNG_START + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )
