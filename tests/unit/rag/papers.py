# pyright: reportUnknownMemberType=false
# reportlab has no types
"""PDFs made for a test."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

_TOP, _LINE = 780, 14
_PAGE_HEIGHT = 842
# Objects 3, 4 and 1 of a PDF made by `pdf_of`.
PAGE = (
    b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R"
    b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>"
)
WORDS = b"<</Length 39>>\nstream\nBT /F 12 Tf 10 100 Td (Oil it.) Tj ET  \nendstream"
CATALOG = b"<</Type/Catalog/Pages 2 0 R>>"


@dataclass(frozen=True, slots=True)
class Placed:
    """A line of a page, so many points above its lower edge."""

    height: float
    words: str
    size: float = 12


def pdf(
    pages: Sequence[Sequence[str]], *, outline: dict[str, int] | None = None, password: str | None = None
) -> bytes:
    """Return a PDF with these lines on its pages; `outline` maps titles to pages from 1."""
    file = BytesIO()
    encryption = StandardEncryption(password, canPrint=0) if password else None
    canvas = Canvas(file, encrypt=encryption)  # pyright: ignore[reportArgumentType]  its stub knows str only
    for number, lines in enumerate(pages, start=1):
        for title, page in (outline or {}).items():
            if page == number:
                canvas.bookmarkPage(title)
                canvas.addOutlineEntry(title, title)
        for index, line in enumerate(lines):
            canvas.drawString(72, _TOP - _LINE * index, line)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def placed_pdf(pages: Sequence[Sequence[Placed]], *, turned: bool = False) -> bytes:
    """Return a PDF with lines where they are said to stand; `turned`, on sheets shown turned by a quarter."""
    file = BytesIO()
    canvas = Canvas(file)
    for lines in pages:
        if turned:
            canvas.setPageRotation(90)
            canvas.translate(_PAGE_HEIGHT, 0)
            canvas.rotate(90)
        for line in lines:
            canvas.setFont("Helvetica", line.size)
            canvas.drawString(72, line.height, line.words)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def scanned_pdf() -> bytes:
    """Return a PDF whose page holds a picture only."""
    file = BytesIO()
    canvas = Canvas(file)
    canvas.rect(100, 100, 200, 200, fill=1)
    canvas.showPage()
    canvas.save()
    return file.getvalue()


def partly_scanned_pdf() -> bytes:
    """Return a PDF of a page with words, one with a picture only, a blank one and one with words."""
    file = BytesIO()
    canvas = Canvas(file)
    canvas.drawString(72, _TOP, "Oil the pump.")
    canvas.showPage()
    canvas.rect(100, 100, 200, 200, fill=1)
    canvas.showPage()
    canvas.showPage()
    canvas.drawString(72, _TOP, "Dry the pump.")
    canvas.showPage()
    canvas.save()
    return file.getvalue()


def pdf_of(*objects: bytes, trailer: bytes = b"/Root 1 0 R") -> bytes:
    """Return a PDF of these objects, numbered from 1."""
    data, places = b"%PDF-1.7\n", list[int]()
    for number, content in enumerate(objects, start=1):
        places.append(len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    data += b"xref\n0 %d\n0000000000 65535 f \n%btrailer\n<</Size %d %b>>\nstartxref\n%d\n%%%%EOF" % (
        *(size, table, size, trailer, len(data)),
    )
    return data
