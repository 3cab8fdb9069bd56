"""EPUB: the chapters in the order in which they are read."""

import posixpath
from urllib.parse import unquote

from parley_rag.load.archive import Archive, RefusedEntry
from parley_rag.load.extraction import BlockKind, Extraction, TextBuilder, UnreadableDocument
from parley_rag.load.html import load_html
from parley_rag.load.limits import ReadLimits
from parley_rag.load.xml_parts import Element, core_metadata, open_package, parse_xml

_CONTAINER = "META-INF/container.xml"
_CHAPTERS = frozenset(("application/xhtml+xml", "text/html", "application/x-dtbook+xml"))
_FONT_KEYS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_DAMAGED = "The book is damaged: its table of parts is missing."


def load_epub(data: bytes, limits: ReadLimits) -> Extraction:
    """Read an EPUB book."""
    package = open_package(data, limits)
    if (encryption := _part(package, "META-INF/encryption.xml")) is not None and _is_locked(
        parse_xml(encryption)
    ):
        raise UnreadableDocument("The book is protected against copying and cannot be read.")
    container = _part(package, _CONTAINER)
    rootfile = next(parse_xml(container).iter("{*}rootfile"), None) if container else None
    path = rootfile.get("full-path") or "" if rootfile is not None else ""
    content = _part(package, path)
    if content is None:
        raise UnreadableDocument(_DAMAGED)
    title, metadata = core_metadata(content, tag="{*}metadata")
    builder = TextBuilder()
    for name in _spine(parse_xml(content), posixpath.dirname(path)):
        if (chapter := _part(package, name)) is not None:
            _write_chapter(builder, chapter)
    return builder.build(title, metadata)


def _spine(book: Element, folder: str) -> list[str]:
    """Return the names of the chapters in order, each once."""
    items = {
        item.get("id"): posixpath.normpath(posixpath.join("/", folder, unquote(item.get("href") or "")))[1:]
        for item in book.iter("{*}item")
        if item.get("media-type") in _CHAPTERS and "nav" not in (item.get("properties") or "").split()
    }
    names = (items.get(reference.get("idref")) for reference in book.iter("{*}itemref"))
    return list(dict.fromkeys(name for name in names if name))


def _write_chapter(builder: TextBuilder, content: bytes) -> None:
    try:
        chapter = load_html(content)
    except UnreadableDocument:  # a cover: a picture only
        return
    has_heading = any(block.kind is BlockKind.HEADING for block in chapter.blocks)
    builder.add_all(chapter, () if has_heading or not chapter.title else (chapter.title,))


def _part(package: Archive, name: str) -> bytes | None:
    """Return a part; chapters may declare a document type, which is not looked at."""
    try:
        return package.read(name)
    except RefusedEntry as error:
        raise UnreadableDocument(f"A part of the book cannot be read ({name}). {error}") from error


def _is_locked(encryption: Element) -> bool:
    """Return whether more than fonts is encrypted."""
    methods = [method.get("Algorithm") for method in encryption.iter("{*}EncryptionMethod")]
    return any(method not in _FONT_KEYS for method in methods)
