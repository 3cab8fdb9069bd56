"""What kind of document some bytes are: decided by content first, by the name only among kinds of text."""

import codecs
import re
from enum import StrEnum
from io import BytesIO
from pathlib import PurePosixPath

from parley_rag.load.archive import Archive, Budget, RefusedEntry
from parley_rag.load.code_names import CODE_NAMES, CODE_SUFFIXES
from parley_rag.load.extraction import UnreadableDocument
from parley_rag.load.limits import ReadLimits


class DocumentKind(StrEnum):
    """The kinds that can be read; the value is the media type that is shown."""

    PLAIN = "text/plain"
    MARKDOWN = "text/markdown"
    HTML = "text/html"
    PDF = "application/pdf"
    DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
    XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    ODS = "application/vnd.oasis.opendocument.spreadsheet"
    XLS = "application/vnd.ms-excel"
    CSV = "text/csv"
    TSV = "text/tab-separated-values"
    EPUB = "application/epub+zip"
    JSON = "application/json"
    JSON_LINES = "application/jsonl"
    MAIL = "message/rfc822"
    SOURCE_CODE = "text/x-source-code"
    ZIP = "application/zip"


_BINARY_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a Linux program"),
    (b"\xca\xfe\xba\xbe", "a compiled program"),
    (b"\xcf\xfa\xed\xfe", "a macOS program"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"PK\x07\x08", "a part of a ZIP archive that was cut into several files"),
    (b"{\\rtf", "a rich-text document (save it as PDF or text first)"),
    (b"%!PS", "a PostScript document (save it as PDF first)"),
    (b"\x1f\x8b", "a gzip archive (unpack it first)"),
    (b"BZh", "a bzip2 archive (unpack it first)"),
    (b"\xfd7zXZ", "an xz archive (unpack it first)"),
    (b"7z\xbc\xaf", "a 7-Zip archive (unpack it first)"),
    (b"Rar!", "a RAR archive (unpack it first)"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"SQLite format 3", "a SQLite database"),
    (b"ID3", "a sound file"),
    (b"OggS", "a sound file"),
    (b"RIFF", "a sound, image or video file"),
)
# A comment is matched in one way only and is not given back, so that the work is linear.
_HTML_START = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?>(?:<!--(?:[^-]|-(?!->))*-->\s*)*)<(?:!doctype\s+html|html[\s>])", re.I
)
_HTML_TAG = re.compile(r"<(p|div|h[1-6]|body|head|table|ul|ol|span|br|a|title)\b[^<>]*>", re.I)
ZIP_START = b"PK\x03\x04"
MAIL_SUFFIX = ".eml"
_COMPOUND_START = b"\xd0\xcf\x11\xe0"
_COMPOUND_KINDS: tuple[tuple[str, str], ...] = (
    ("EncryptedPackage", "an encrypted office document (remove its password first)"),
    ("WordDocument", "an old Word document (save it as DOCX or PDF first)"),
    ("PowerPoint Document", "an old PowerPoint presentation (save it as PPTX or PDF first)"),
    ("__properties_version1.0", "an Outlook message (save it as .eml first)"),
)
_COMPOUND_SPREADSHEETS = ("Workbook", "Book")
_OFFICE_PARTS = (
    ("word/document.xml", DocumentKind.DOCX),
    ("ppt/presentation.xml", DocumentKind.PPTX),
    ("xl/workbook.xml", DocumentKind.XLSX),
    ("META-INF/container.xml", DocumentKind.EPUB),
)
_UNREAD_PARTS = (
    ("xl/workbook.bin", "a binary Excel workbook (save it as XLSX first)"),
    ("Index/Document.iwa", "an Apple iWork document (export it as PDF first)"),
)
_UNREAD_OPEN_DOCUMENTS = {
    "text": "an OpenDocument text (save it as DOCX or PDF first)",
    "presentation": "an OpenDocument presentation (save it as PPTX or PDF first)",
}
_TEXT_KINDS = {
    ".csv": DocumentKind.CSV,
    ".tsv": DocumentKind.TSV,
    ".tab": DocumentKind.TSV,
    ".json": DocumentKind.JSON,
    ".geojson": DocumentKind.JSON,
    ".jsonl": DocumentKind.JSON_LINES,
    ".ndjson": DocumentKind.JSON_LINES,
    MAIL_SUFFIX: DocumentKind.MAIL,
    **dict.fromkeys((".md", ".markdown", ".mkd", ".mdx"), DocumentKind.MARKDOWN),
}
_MAIL_HEADER = re.compile(r"([!-9;-~]{1,60}):[^\n]*\n(?:[ \t][^\n]*\n)*")
_MAIL_SIGNS = frozenset(("received", "message-id", "mime-version", "return-path"))
_MIN_MAIL_SIGNS = 2
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_HTML_SUFFIXES = frozenset({".html", ".htm", ".xhtml"})
_PDF_HEADER_WITHIN_BYTES = 1024  # readers accept the header anywhere in the first kilobyte
_MAX_CONTROL_SHARE = 0.01


def sniff(data: bytes, name: str, limits: ReadLimits | None = None) -> DocumentKind:
    """Return the kind of a document; UnreadableDocument when it is none we read."""
    if not data:
        raise UnreadableDocument("The file is empty.")
    path = PurePosixPath(name.lower())
    kind = _kind_of_binary(data, path.suffix, limits or ReadLimits())
    if kind is not None:
        return kind
    text = decode(data)
    if path.suffix == ".pdf":
        raise UnreadableDocument(
            "The name says PDF, but the file has no PDF header; it is damaged or renamed."
        )
    if not text.strip():
        raise UnreadableDocument("The file holds no text: nothing but blank space.")
    if _HTML_START.match(text) or (path.suffix in _HTML_SUFFIXES and _HTML_TAG.search(text)):
        return DocumentKind.HTML
    if path.suffix in _TEXT_KINDS:
        return _TEXT_KINDS[path.suffix]
    if path.suffix in CODE_SUFFIXES or path.name in CODE_NAMES or text.startswith("#!"):
        return DocumentKind.SOURCE_CODE
    return DocumentKind.MAIL if _is_mail(text) else DocumentKind.PLAIN


def _kind_of_binary(data: bytes, suffix: str, limits: ReadLimits) -> DocumentKind | None:
    """Return the kind of a document that is no text; None when it may be text."""
    if data.startswith(ZIP_START):
        return kind_of_archive(Archive(BytesIO(data), Budget(limits)))
    is_text = suffix in CODE_SUFFIXES or suffix in _TEXT_KINDS
    if data.startswith(b"%PDF-") or (not is_text and b"%PDF-" in data[:_PDF_HEADER_WITHIN_BYTES]):
        return DocumentKind.PDF
    if data.startswith(_COMPOUND_START):
        return _kind_of_compound(data, suffix)
    for signature, what in _BINARY_SIGNATURES:
        if data.startswith(signature):
            raise UnreadableDocument(_not_readable(what, suffix))
    return None


def kind_of_archive(archive: Archive) -> DocumentKind:
    """Return which kind of ZIP-based file an archive is; ZIP when it is just one."""
    names = archive.names()
    if "mimetype" in names:
        family, _, member = _media_type(archive).rpartition(".")
        if family == "application/vnd.oasis.opendocument" and member == "spreadsheet":
            return DocumentKind.ODS
        if family == "application/vnd.oasis.opendocument":
            what = _UNREAD_OPEN_DOCUMENTS.get(member, "an OpenDocument file (save it as PDF first)")
            raise UnreadableDocument(_not_readable(what, ""))
    for part, kind in _OFFICE_PARTS:
        if part in names:
            return kind
    for part, what in _UNREAD_PARTS:
        if part in names:
            raise UnreadableDocument(_not_readable(what, ""))
    return DocumentKind.ZIP


def _media_type(archive: Archive) -> str:
    entry = next(entry for entry in archive.entries if entry.name == "mimetype")
    try:
        return next(archive.blocks(entry), b"")[:100].decode("ascii", errors="replace").strip()
    except RefusedEntry:
        return ""


def _kind_of_compound(data: bytes, suffix: str) -> DocumentKind:
    """Return the kind of a compound file, the container of office documents before 2007."""
    for stream, what in _COMPOUND_KINDS:
        if stream.encode("utf-16-le") in data:
            raise UnreadableDocument(_not_readable(what, suffix))
    if any(f"{stream}\0".encode("utf-16-le") in data for stream in _COMPOUND_SPREADSHEETS):
        return DocumentKind.XLS
    raise UnreadableDocument(_not_readable("an old office document (save it as PDF or text first)", suffix))


def _is_mail(text: str) -> bool:
    """Return whether a text begins with the headers of an e-mail."""
    at, found = 0, set[str]()
    while (header := _MAIL_HEADER.match(text, at)) is not None and len(found) < _MIN_MAIL_SIGNS:
        at = header.end()
        found |= {header[1].lower()} & _MAIL_SIGNS
    return len(found) >= _MIN_MAIL_SIGNS


def decode(data: bytes) -> str:
    """Return bytes as text: by byte-order mark, as UTF-8, else as Windows-1252 when it looks like text."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    if b"\x00" in data:
        raise UnreadableDocument("The file is not text, and not a kind of document that can be read.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    strange = len(_CONTROL.findall(text)) + text.count("\ufffd")
    if strange > _MAX_CONTROL_SHARE * len(text):
        raise UnreadableDocument("The file is not text, and not a kind of document that can be read.")
    return text


def _not_readable(what: str, suffix: str) -> str:
    claims = {".pdf": "PDF", ".txt": "text", ".md": "Markdown", ".html": "HTML", ".htm": "HTML"}.get(suffix)
    if claims:
        return f"The name says {claims}, but the file is {what}."
    return f"This kind of file cannot be read: it is {what}."
