# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pypdfium2 ships no types; its raw interface is used in this module only.
"""A PDF as a file: opened within limits, what its pages draw, and pages as pictures."""

import ctypes
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import cast

import pypdfium2
from pypdfium2 import PdfBitmap, PdfDocument, PdfiumError, PdfPage, raw

from parley_rag.load.extraction import UnreadableDocument

_PASSWORD_ERRORS = ("password", "security")
_DPI = 200
_POINTS_PER_INCH = 72
_MAX_PIXELS = 20_000_000
_MAX_OBJECTS_LOOKED_AT = 1_000
_LANGUAGE_BYTES = 200
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
