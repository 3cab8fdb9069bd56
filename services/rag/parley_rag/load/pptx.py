"""PPTX: a slide is a page; its title is the heading of its text, its tables and the speaker's notes."""

import posixpath
from collections.abc import Iterator

from parley_rag.load.archive import Archive
from parley_rag.load.extraction import BlockKind, Extraction, HeadingPath, TextBuilder, UnreadableDocument
from parley_rag.load.limits import ReadLimits
from parley_rag.load.xml_parts import Element, core_metadata, open_package, parse_xml, read_part

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_SHAPES = (f"{_P}sp", f"{_P}graphicFrame")
_PRESENTATION = "ppt/presentation.xml"
_TITLES = frozenset(("title", "ctrTitle"))
_RUNNING = frozenset(("dt", "ftr", "sldNum", "hdr", "sldImg"))


def load_pptx(data: bytes, limits: ReadLimits) -> Extraction:
    """Read a presentation."""
    package = open_package(data, limits)
    builder = TextBuilder()
    first_title = None
    slides = list(_slides(package))
    if len(slides) > limits.pages:
        raise UnreadableDocument(f"The presentation has more than {limits.pages:,} slides.")
    for name in slides:
        content = read_part(package, name)
        builder.start_page()
        if content is None:
            continue
        title = _write_slide(builder, parse_xml(content))
        first_title = first_title or title
        notes = next((to for kind, to in _relations(package, name).values() if kind == "notesSlide"), None)
        if notes is not None and (notes_content := read_part(package, notes)):
            for text in _notes(parse_xml(notes_content)):
                builder.add(BlockKind.PARAGRAPH, text, (title,) if title else ())
    title, metadata = core_metadata(read_part(package, "docProps/core.xml"))
    return builder.build(title or first_title, metadata)


def _slides(package: Archive) -> Iterator[str]:
    """Yield the names of the slides in their order."""
    content = read_part(package, _PRESENTATION)
    if content is None:
        raise UnreadableDocument("The presentation is damaged: its list of slides is missing.")
    relations = _relations(package, _PRESENTATION)
    seen: set[str] = set()
    for slide in parse_xml(content).iter(f"{_P}sldId"):
        _, name = relations.get(slide.get(_ID) or "", ("", ""))
        if name and name not in seen:  # a slide that is listed without end is read once
            seen.add(name)
            yield name


def _relations(package: Archive, name: str) -> dict[str, tuple[str, str]]:
    """Return the kind and the name of each part that a part leads to, by its id."""
    folder, file = posixpath.split(name)
    content = read_part(package, f"{folder}/_rels/{file}.rels")
    if content is None:
        return {}
    return {
        relation.get("Id") or "": (
            (relation.get("Type") or "").rpartition("/")[2],
            posixpath.normpath(posixpath.join("/", folder, relation.get("Target") or ""))[1:],
        )
        for relation in parse_xml(content).iterchildren()
        if relation.get("TargetMode") != "External"
    }


def _write_slide(builder: TextBuilder, slide: Element) -> str | None:
    """Add a slide's text, its title first wherever it stands; return the title."""
    path = HeadingPath()
    twice = {shape for fallback in slide.iter(_FALLBACK) for shape in fallback.iter(*_SHAPES)}
    shapes = [shape for shape in slide.iter(*_SHAPES) if shape not in twice]
    titles = [shape for shape in shapes if _placeholder(shape) in _TITLES]
    title = " ".join(" ".join(_paragraphs(titles[0])).split()) if titles else ""
    if title:
        path.enter(1, title)
        builder.add(BlockKind.HEADING, title, path.titles())
    for shape in shapes:
        if shape in titles[:1] or _placeholder(shape) in _RUNNING:
            continue
        for table in shape.iter(f"{_A}tbl"):
            rows = (
                [" ".join(_paragraphs(cell)) for cell in row.iter(f"{_A}tc")] for row in table.iter(f"{_A}tr")
            )
            builder.add_table(rows, path.titles())
        if shape.tag == f"{_P}sp":
            builder.add(BlockKind.PARAGRAPH, "\n".join(_paragraphs(shape)), path.titles())
    return title or None


def _placeholder(shape: Element) -> str | None:
    """Return which placeholder of the layout a shape fills, if any."""
    found = next(shape.iter(f"{_P}ph"), None)
    return found.get("type") if found is not None else None


def _paragraphs(shape: Element) -> Iterator[str]:
    for paragraph in shape.iter(f"{_A}p"):
        parts = (
            part.text or "" if part.tag == f"{_A}t" else "\n" for part in paragraph.iter(f"{_A}t", f"{_A}br")
        )
        if text := "".join(parts).strip():
            yield text


def _notes(notes: Element) -> Iterator[str]:
    for shape in notes.iter(f"{_P}sp"):
        if _placeholder(shape) == "body":
            yield "\n".join(_paragraphs(shape))
