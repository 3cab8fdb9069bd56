# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportAttributeAccessIssue=false
# lxml ships no types; what other modules use of it is `Element`.
"""XML inside ZIP-based documents: parsed without entities, document types and network."""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Protocol, cast
from zipfile import ZIP_STORED, ZipFile

from lxml import etree

from parley_rag.load.archive import Archive, Budget, RefusedEntry
from parley_rag.load.extraction import Metadata, UnreadableDocument
from parley_rag.load.limits import ReadLimits

_XML_NAMES = (".xml", ".rels", ".vml")
_DOCTYPE = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.I)
_ENCODING = re.compile(rb"\A\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([^\"']{1,40})[\"']")
_ENCODINGS = frozenset((b"utf-8", b"utf8", b"us-ascii", b"ascii", b"utf-16", b"utf-16le", b"utf-16be"))
_DC = "{http://purl.org/dc/elements/1.1/}"
_TERMS = "{http://purl.org/dc/terms/}"


class Element(Protocol):
    """What is used of an lxml element."""

    @property
    def tag(self) -> str: ...
    @property
    def text(self) -> str | None: ...
    def get(self, key: str, /) -> str | None: ...
    def iter(self, *tags: str) -> Iterator["Element"]: ...
    def iterchildren(self, *tags: str) -> Iterator["Element"]: ...
    def find(self, path: str) -> "Element | None": ...


def parse_xml(content: bytes) -> Element:
    """Return the root of an XML text; nothing it names outside of itself is loaded, no entity is expanded."""
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        return cast(Element, etree.fromstring(content, parser))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise UnreadableDocument("The file is damaged: a part of it is not valid XML.") from error


def open_package(data: bytes, limits: ReadLimits) -> Archive:
    """Return an office file as an archive all of whose entries may be read."""
    archive = Archive(BytesIO(data), Budget(limits))
    for entry in archive.entries:
        if entry.refused is not None:
            raise UnreadableDocument(f"A part of the file cannot be read ({entry.name}). {entry.refused}")
    return archive


def read_part(archive: Archive, name: str) -> bytes | None:
    """Return a part of an office file, None when it has none of that name."""
    try:
        content = archive.read(name)
    except RefusedEntry as error:
        raise UnreadableDocument(f"A part of the file cannot be read ({name}). {error}") from error
    if content is not None and name.lower().endswith(_XML_NAMES):
        _refuse_document_type(content)
    return content


def plain_package(data: bytes, limits: ReadLimits) -> bytes:
    """Return an office file with its XML parts only, checked and unpacked; what is no XML is left empty.

    Parsers of office files get this: they have nothing to unpack and find one directory only.
    """
    archive, plain = open_package(data, limits), BytesIO()
    with ZipFile(plain, "w", ZIP_STORED) as package:
        for entry in archive.entries:
            is_xml = entry.name.lower().endswith(_XML_NAMES) or entry.name == "mimetype"
            package.writestr(entry.name, (read_part(archive, entry.name) or b"") if is_xml else b"")
    return plain.getvalue()


def core_metadata(content: bytes | None, *, tag: str = "{*}coreProperties") -> tuple[str | None, Metadata]:
    """Return the title and the metadata of Dublin Core elements."""
    if content is None:
        return None, Metadata()
    root = parse_xml(content)
    holder = root.find(f".//{tag}")
    holder = root if holder is None else holder

    def value(*names: str) -> str | None:
        found = (holder.find(name) for name in names)
        return next((element.text for element in found if element is not None and element.text), None)

    metadata = Metadata.of(
        author=value(f"{_DC}creator"),
        language=value(f"{_DC}language"),
        written=value(f"{_TERMS}created", "{*}creation-date", f"{_DC}date"),
        modified=value(f"{_TERMS}modified", f"{_DC}date"),
    )
    return value(f"{_DC}title"), metadata


def _refuse_document_type(content: bytes) -> None:
    """Refuse what declares entities: office files have none, and a few lines can stand for gigabytes."""
    declared = _ENCODING.match(content)
    if declared and declared[1].lower() not in _ENCODINGS:
        raise UnreadableDocument(
            "The file is damaged: a part of it is in an encoding that XML parts never have."
        )
    if _DOCTYPE.search(content.replace(b"\x00", b"") if b"\x00" in content[:200] else content):
        raise UnreadableDocument(
            "The file declares a document type; office files never do, and it can be used to fill memory."
        )
