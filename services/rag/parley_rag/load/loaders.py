"""Which loader reads which kind of document; a loader is imported when its kind turns up."""

from collections.abc import Mapping

from parley_rag.load.extraction import Extraction, UnreadableDocument
from parley_rag.load.limits import ReadLimits
from parley_rag.load.sniff import DocumentKind, sniff

_NOTHING_RECOGNISED: Mapping[int, str] = {}


def load(
    data: bytes,
    name: str,
    limits: ReadLimits | None = None,
    recognised: Mapping[int, str] = _NOTHING_RECOGNISED,
) -> tuple[DocumentKind, Extraction]:
    """Return the kind and the text of a document; an archive has members instead of a text."""
    limits = limits or ReadLimits()
    kind = sniff(data, name, limits)
    if kind is DocumentKind.ZIP:
        return kind, Extraction("", (), has_members=True)
    extraction = _load_text(kind, data, name) or _load_packed(kind, data, limits, recognised)
    if not extraction.text.strip():
        raise UnreadableDocument("The file holds no text.")
    return kind, extraction


def _load_text(kind: DocumentKind, data: bytes, name: str) -> Extraction | None:
    """Read what is text itself; None for other kinds."""
    match kind:
        case DocumentKind.PLAIN:
            from parley_rag.load.plain import load_plain as loader  # noqa: PLC0415  only what is read is loaded
        case DocumentKind.HTML:
            from parley_rag.load.html import load_html as loader  # noqa: PLC0415  only what is read is loaded
        case DocumentKind.MARKDOWN:
            from parley_rag.load.markdown import load_markdown as loader  # noqa: PLC0415  only what is read is loaded
        case DocumentKind.CSV | DocumentKind.TSV:
            from parley_rag.load.separated import load_separated as loader  # noqa: PLC0415  only what is read is loaded
        case DocumentKind.JSON:
            from parley_rag.load.structured import load_json as loader  # noqa: PLC0415  only what is read is loaded
        case DocumentKind.JSON_LINES:
            from parley_rag.load.structured import load_json_lines as loader  # noqa: PLC0415  only what is read is loaded
        case DocumentKind.MAIL:
            from parley_rag.load.mail import load_mail as loader  # noqa: PLC0415  only what is read is loaded
        case DocumentKind.SOURCE_CODE:
            from parley_rag.load.source_code import load_source_code  # noqa: PLC0415  only what is read is loaded

            return load_source_code(data, name)
        case _:
            return None
    return loader(data)


def _load_packed(
    kind: DocumentKind, data: bytes, limits: ReadLimits, recognised: Mapping[int, str]
) -> Extraction:
    """Read what has to be unpacked, within limits."""
    match kind:
        case DocumentKind.DOCX:
            from parley_rag.load.docx import load_docx as loader  # noqa: PLC0415  only what is read is loaded
        case DocumentKind.PPTX:
            from parley_rag.load.pptx import load_pptx as loader  # noqa: PLC0415  only what is read is loaded
        case DocumentKind.EPUB:
            from parley_rag.load.epub import load_epub as loader  # noqa: PLC0415  only what is read is loaded
        case DocumentKind.XLS:
            from parley_rag.load.spreadsheet import load_old_spreadsheet as loader  # noqa: PLC0415  only what is read is loaded
        case DocumentKind.XLSX | DocumentKind.ODS:
            from parley_rag.load.spreadsheet import load_zipped_spreadsheet as loader  # noqa: PLC0415  only what is read is loaded
        case _:
            from parley_rag.load.pdf import load_pdf  # noqa: PLC0415  only what is read is loaded

            return load_pdf(data, limits, recognised)
    return loader(data, limits)
