"""What kind of document some bytes are: decided by content first, by the name only among kinds of text."""

import codecs
import re
from enum import StrEnum
from pathlib import PurePosixPath

from parley_rag.load.extraction import UnreadableDocument


class DocumentKind(StrEnum):
    """The kinds that can be read; the value is the media type that is shown."""

    PLAIN = "text/plain"
    MARKDOWN = "text/markdown"
    HTML = "text/html"
    PDF = "application/pdf"


_BINARY_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a Linux program"),
    (b"\xca\xfe\xba\xbe", "a compiled program"),
    (b"\xcf\xfa\xed\xfe", "a macOS program"),
    (b"PK\x03\x04", "a ZIP archive or an office document (save it as PDF or text first)"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old office document (save it as PDF or text first)"),
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
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MARKDOWN_SUFFIXES = frozenset({".md", ".markdown", ".mkd", ".mdx"})
_HTML_SUFFIXES = frozenset({".html", ".htm", ".xhtml"})
_PDF_HEADER_WITHIN_BYTES = 1024  # readers accept the header anywhere in the first kilobyte
_MAX_CONTROL_SHARE = 0.01


def sniff(data: bytes, name: str) -> DocumentKind:
    """Return the kind of a document; UnreadableDocument when it is none we read."""
    if not data:
        raise UnreadableDocument("The file is empty.")
    suffix = PurePosixPath(name.lower()).suffix
    if b"%PDF-" in data[:_PDF_HEADER_WITHIN_BYTES]:
        return DocumentKind.PDF
    for signature, what in _BINARY_SIGNATURES:
        if data.startswith(signature):
            raise UnreadableDocument(_not_readable(what, suffix))
    text = decode(data)
    if suffix == ".pdf":
        raise UnreadableDocument(
            "The name says PDF, but the file has no PDF header; it is damaged or renamed."
        )
    if not text.strip():
        raise UnreadableDocument("The file holds no text: nothing but blank space.")
    if _HTML_START.match(text) or (suffix in _HTML_SUFFIXES and _HTML_TAG.search(text)):
        return DocumentKind.HTML
    return DocumentKind.MARKDOWN if suffix in _MARKDOWN_SUFFIXES else DocumentKind.PLAIN


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
