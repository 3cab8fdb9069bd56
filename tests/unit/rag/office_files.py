"""Office documents, books, e-mails and archives made for a test."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from io import BytesIO
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile

import docx

_RELATIONSHIPS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_CORE = (
    '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/">'
    "<dc:title>{title}</dc:title><dc:creator>{author}</dc:creator><dc:language>en-GB</dc:language>"
    "<dcterms:created>2024-05-01T10:00:00Z</dcterms:created>"
    "<dcterms:modified>2024-06-01T10:00:00Z</dcterms:modified></cp:coreProperties>"
)


def zipped(files: Mapping[str, str | bytes], compression: int = ZIP_DEFLATED) -> bytes:
    """Return a ZIP archive of these files."""
    file = BytesIO()
    with ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def with_file(archive: bytes, name: str, content: str | bytes) -> bytes:
    """Return an archive with one of its files replaced, or one more."""
    with ZipFile(BytesIO(archive)) as old:
        files = {entry: old.read(entry) for entry in old.namelist()}
    return zipped({**files, name: content})


def docx_file(sections: Mapping[str, Sequence[str]], *, table: Sequence[Sequence[str]] = ()) -> bytes:
    """Return a Word document: headings with paragraphs, and a table at the end."""
    document = docx.Document()
    document.add_heading("Pump manual", 0)
    for heading, paragraphs in sections.items():
        document.add_heading(heading, 1)
        for words in paragraphs:
            document.add_paragraph(words)
    if table:
        grid = document.add_table(rows=0, cols=len(table[0]))
        for row in table:
            for cell, words in zip(grid.add_row().cells, row, strict=True):
                cell.text = words
        document.add_paragraph("After the table.")
    properties = document.core_properties
    properties.title, properties.author, properties.language = "Pumps", "Ada", "en-GB"
    properties.created = datetime(2024, 5, 1, 10, tzinfo=UTC)
    properties.modified = datetime(2024, 6, 1, 10, tzinfo=UTC)
    file = BytesIO()
    document.save(file)
    return file.getvalue()


def pptx_file(slides: Sequence[tuple[str, Sequence[str]]], *, notes: str = "") -> bytes:
    """Return a presentation: slides with a title and lines; the first one has notes."""
    names = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    names += 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    names += f'xmlns:r="{_OFFICE}"'
    ids = "".join(f'<p:sldId id="{255 + n}" r:id="r{n}"/>' for n in range(1, len(slides) + 1))
    files = {
        "[Content_Types].xml": "<Types/>",
        "ppt/presentation.xml": f"<p:presentation {names}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": _relations(
            {f"r{n}": ("slide", f"slides/slide{n}.xml") for n in range(1, len(slides) + 1)}
        ),
        "docProps/core.xml": _CORE.format(title="Pump slides", author="Ada"),
    }
    for n, (title, lines) in enumerate(slides, start=1):
        shapes = _shape("<p:ph/>", lines) + _shape('<p:ph type="title"/>', [title])
        shapes += _shape('<p:ph type="sldNum"/>', [str(n)])
        files[f"ppt/slides/slide{n}.xml"] = f"<p:sld {names}><p:cSld>{shapes}</p:cSld></p:sld>"
    if notes:
        shapes = _shape('<p:ph type="body"/>', [notes])
        files["ppt/notesSlides/notes1.xml"] = f"<p:notes {names}><p:cSld>{shapes}</p:cSld></p:notes>"
        files["ppt/slides/_rels/slide1.xml.rels"] = _relations(
            {"n1": ("notesSlide", "../notesSlides/notes1.xml")}
        )
    return zipped(files)


def _shape(placeholder: str, lines: Sequence[str]) -> str:
    paragraphs = "".join(f"<a:p><a:r><a:t>{escape(line)}</a:t></a:r></a:p>" for line in lines)
    return (
        f"<p:sp><p:nvSpPr><p:nvPr>{placeholder}</p:nvPr></p:nvSpPr><p:txBody>{paragraphs}</p:txBody></p:sp>"
    )


def _relations(targets: Mapping[str, tuple[str, str]]) -> str:
    inner = "".join(
        f'<Relationship Id="{name}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for name, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="{_RELATIONSHIPS}">{inner}</Relationships>'


def xlsx_file(sheets: Mapping[str, Sequence[Sequence[str | int | float]]]) -> bytes:
    """Return a workbook."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(sheets, start=1)
    )
    files = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": _relations({"r1": ("officeDocument", "xl/workbook.xml")}),
        "xl/workbook.xml": (
            f'<workbook xmlns="{main}" xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>'
        ),
        "xl/_rels/workbook.xml.rels": _relations(
            {f"r{n}": ("worksheet", f"worksheets/sheet{n}.xml") for n in range(1, len(sheets) + 1)}
        ),
        "docProps/core.xml": _CORE.format(title="Parts", author="Ada"),
    }
    for n, rows in enumerate(sheets.values(), start=1):
        lines = "".join(
            f'<row r="{r}">{"".join(_cell(r, c, value) for c, value in enumerate(row))}</row>'
            for r, row in enumerate(rows, start=1)
        )
        files[f"xl/worksheets/sheet{n}.xml"] = (
            f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>'
        )
    return zipped(files)


def _cell(row: int, column: int, value: str | float) -> str:
    place = f'r="{chr(65 + column)}{row}"'
    if isinstance(value, str):
        return f'<c {place} t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    return f"<c {place}><v>{value}</v></c>"


def ods_file(rows: Sequence[Sequence[str]]) -> bytes:
    """Return an OpenDocument spreadsheet with one sheet."""
    office = "urn:oasis:names:tc:opendocument:xmlns:"
    names = " ".join(f'xmlns:{name}="{office}{name}:1.0"' for name in ("office", "table", "text", "meta"))
    lines = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="string"><text:p>{escape(cell)}</text:p></table:table-cell>'
            for cell in row
        )
        + "</table:table-row>"
        for row in rows
    )
    content = (
        f'<office:document-content {names}><office:body><office:spreadsheet><table:table table:name="Parts">'
    )
    content += f"{lines}</table:table></office:spreadsheet></office:body></office:document-content>"
    meta = f'<office:document-meta {names} xmlns:dc="http://purl.org/dc/elements/1.1/"><office:meta>'
    meta += "<dc:title>Parts</dc:title><dc:creator>Ada</dc:creator>"
    meta += (
        "<meta:creation-date>2024-05-01T10:00:00</meta:creation-date></office:meta></office:document-meta>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = '<manifest xmlns="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
    return zipped(
        {"mimetype": kind, "content.xml": content, "meta.xml": meta, "META-INF/manifest.xml": manifest}
    )


def epub_file(chapters: Mapping[str, str], *, reading_order: Sequence[str] | None = None) -> bytes:
    """Return a book: file names with the XHTML of their bodies, read in an order."""
    items = "".join(
        f'<item id="{name}" href="text/{name}" media-type="application/xhtml+xml"/>' for name in chapters
    )
    spine = "".join(f'<itemref idref="{name}"/>' for name in reading_order or list(chapters))
    book = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<dc:title>The pump</dc:title><dc:creator>Ada</dc:creator><dc:language>en</dc:language>"
        f"<dc:date>2024</dc:date></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    container = '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    container += '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
    page = '<?xml version="1.0"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml"><body>{}</body></html>'
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": container,
            "OEBPS/book.opf": book,
            **{f"OEBPS/text/{name}": page.format(body) for name, body in chapters.items()},
        }
    )


def mail_file(body: str, attachments: Mapping[str, bytes], *, subject: str = "The pump") -> bytes:
    """Return an e-mail with attachments."""
    message = EmailMessage()
    message["From"] = "Ada Lovelace <ada@example.org>"
    message["To"] = "Charles <charles@example.org>"
    message["Subject"] = subject
    message["Date"] = "Wed, 01 May 2024 10:00:00 +0000"
    message.set_content(body)
    for name, content in attachments.items():
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()
