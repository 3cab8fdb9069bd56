"""HTML: the main text with its headings, lists, tables and code; scripts and navigation left out."""

import re
from collections.abc import Iterator, Sequence

from bs4 import BeautifulSoup
from bs4.element import Comment, NavigableString, PageElement, PreformattedString, Tag

from parley_rag.load.extraction import (
    BlockKind,
    Extraction,
    HeadingPath,
    Metadata,
    TextBuilder,
    UnreadableDocument,
)
from parley_rag.load.sniff import decode

_LEFT_OUT = (
    *("script", "style", "noscript", "template", "nav", "button"),
    *("select", "iframe", "svg", "canvas", "object"),
)
_LEFT_OUT_ROLES = ("navigation", "search", "banner", "contentinfo")
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "div"),
        *("dl", "dt", "figcaption", "figure", "footer", "header", "hr", "html", "li", "main"),
        *("ol", "p", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead"),
        *("tr", "ul", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "caption"),
    )
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CONTENTS_NAMES = frozenset(
    ("toc", "contents", "table-of-contents", "tableofcontents", "toctree-wrapper", "doc-toc")
)
_PAGE_TURNER_NAMES = frozenset(("navheader", "navfooter"))  # DocBook's rows of links to the pages beside
_LISTS = frozenset(("ul", "ol", "dl"))
_MIN_CONTENTS_LINKS = 4
_CONTENTS_LINK_SHARE = 0.3
_LINKS_ONLY_SHARE = 0.9
_PERMALINKS = "¶§#\u200b "
_AUTHOR_NAMES = ("author", "article:author", "dc.creator", "dcterms.creator")
_LANGUAGE_NAMES = ("content-language", "language", "dc.language", "dcterms.language")
_WRITTEN_NAMES = (
    *("article:published_time", "datepublished", "date", "dcterms.created", "dcterms.date", "dc.date"),
    *("pubdate", "publish_date"),
)
_MODIFIED_NAMES = (
    "article:modified_time",
    "og:updated_time",
    "datemodified",
    "dcterms.modified",
    "last-modified",
)
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*>")
_SPACE = re.compile(r"[ \t\r\n\f]+")
_MAIN_MIN_SHARE = 0.3
_PAGE_FORM_SHARE = 0.5  # some servers put the whole page into a form


def load_html(data: bytes) -> Extraction:
    """Read an HTML page or manual."""
    soup = BeautifulSoup(_source(data), "lxml")
    title = soup.title.get_text(" ", strip=True) if soup.title else None
    metadata = _metadata(soup)
    for tag in soup.find_all(_LEFT_OUT):
        tag.decompose()
    for tag in soup.select(",".join(f"[role={role}]" for role in _LEFT_OUT_ROLES)):
        tag.decompose()
    whole = len(soup.get_text())
    for form in soup.find_all("form"):
        if len(form.get_text()) < _PAGE_FORM_SHARE * whole:
            form.decompose()
    writer = _Writer()
    writer.write(_main(soup))
    extraction = writer.builder.build(title or writer.first_heading, metadata)
    if not extraction.text:
        raise UnreadableDocument("The page holds no text.")
    return extraction


def _metadata(soup: BeautifulSoup) -> Metadata:
    """Return what a page's head says; the first of the names that mean the same counts."""
    said: dict[str, str] = {}
    for tag in soup.find_all("meta"):
        key = tag.get("name") or tag.get("property") or tag.get("itemprop") or tag.get("http-equiv")
        said.setdefault(str(key).lower(), str(tag.get("content") or ""))

    def value(names: Sequence[str]) -> str | None:
        return next((said[name] for name in names if said.get(name)), None)

    language = soup.html.get("lang") or soup.html.get("xml:lang") if soup.html else None
    return Metadata.of(
        author=value(_AUTHOR_NAMES),
        language=str(language or value(_LANGUAGE_NAMES) or ""),
        written=value(_WRITTEN_NAMES),
        modified=value(_MODIFIED_NAMES),
    )


def _source(data: bytes) -> bytes | str:
    """Return bytes whose encoding the page declares itself, else the text."""
    if b"charset" in data[:2048].lower() and b"\x00" not in data[:64]:
        return data
    return _XML_DECLARATION.sub("", decode(data))


def _main(soup: BeautifulSoup) -> Tag:
    """Return the element of the main text, when it holds a good part of the page."""
    body = soup.body or soup
    whole = len(body.get_text())
    for selector in ("main", "[role=main]", "article"):
        found = soup.select(selector)
        if len(found) == 1 and len(found[0].get_text()) >= _MAIN_MIN_SHARE * whole:
            return found[0]
    return body


class _Writer:
    """Walks elements without recursion and writes a block wherever a block element begins or ends."""

    def __init__(self) -> None:
        self.builder = TextBuilder()
        self.first_heading: str | None = None
        self._path = HeadingPath()
        self._line: list[str] = []
        self._prefix = ""

    def write(self, root: Tag) -> None:
        stack: list[Iterator[PageElement]] = [iter(list(root.children))]
        open_tags: list[Tag] = [root]
        while stack:
            element = next(stack[-1], None)
            if element is None:
                stack.pop()
                self._leave(open_tags.pop())
            elif isinstance(element, Tag):
                if not self._whole(element):
                    self._enter(element)
                    stack.append(iter(list(element.children)))
                    open_tags.append(element)
            elif isinstance(element, NavigableString) and not isinstance(
                element, Comment | PreformattedString
            ):
                self._line.append(str(element))

    def _whole(self, tag: Tag) -> bool:
        """Write elements that are read as one block; False for those to walk into."""
        if tag.name in _HEADINGS:
            self._end_block()
            words = _squeeze(tag.get_text()).strip(_PERMALINKS)
            self._path.enter(_HEADINGS[tag.name], words)
            self.first_heading = self.first_heading or words
            self.builder.add(BlockKind.HEADING, words, self._path.titles())
        elif tag.name == "pre":
            self._end_block()
            self.builder.add(BlockKind.LINES, tag.get_text(), self._path.titles())
        elif _is_listing(tag):
            self._end_block()
            self.builder.add(BlockKind.LISTING, _lines(tag), self._path.titles())
        elif tag.name == "table" and _is_data(tag):
            self._end_block()
            has_header = tag.find("th") is not None
            self.builder.add_table(_rows(tag), self._path.titles(), has_header=has_header)
        else:
            return False
        return True

    def _enter(self, tag: Tag) -> None:
        if tag.name in _BLOCKS:
            self._end_block()
        if tag.name == "li":
            self._prefix = "- "
        elif tag.name == "br":
            self._line.append("\n")

    def _leave(self, tag: Tag) -> None:
        if tag.name in _BLOCKS:
            self._end_block(gap="\n" if tag.name in {"li", "dt"} else "\n\n")

    def _end_block(self, gap: str = "\n\n") -> None:
        words = _squeeze("".join(self._line))
        self._line = []
        if words:
            self.builder.add(BlockKind.PARAGRAPH, self._prefix + words, self._path.titles(), gap=gap)
            self._prefix = ""


def _squeeze(text: str) -> str:
    return _SPACE.sub(" ", text).strip()


def _is_listing(tag: Tag) -> bool:
    """Return whether an element only leads elsewhere: a table of contents, links to the pages beside."""
    names = _names(tag)
    if names & _PAGE_TURNER_NAMES:
        return True
    if names & _CONTENTS_NAMES:
        return _link_share(tag.find_all("a", href=True), tag) >= _CONTENTS_LINK_SHARE
    if tag.name not in _LISTS:
        return False
    inner = tag.find_all("a", href=_leads_into_page)
    return len(inner) >= _MIN_CONTENTS_LINKS and _link_share(inner, tag) >= _LINKS_ONLY_SHARE


def _names(tag: Tag) -> set[str]:
    """Return the classes, the id and the role of an element."""
    values = (tag.get_attribute_list(key) for key in ("class", "id", "role"))
    return {str(value).lower() for listed in values for value in listed if value}


def _leads_into_page(href: str | None) -> bool:
    return href is not None and href.startswith("#") and len(href) > 1


def _link_share(links: Sequence[PageElement], tag: Tag) -> float:
    whole = len("".join(tag.get_text().split()))
    return sum(len("".join(link.get_text().split())) for link in links) / whole if whole else 0.0


def _lines(tag: Tag) -> str:
    return "\n".join(line for line in map(_squeeze, tag.get_text("\n").split("\n")) if line)


def _is_data(table: Tag) -> bool:
    """Return whether a table holds data; one that lays out a page holds headings, lists or other tables."""
    return table.find(["table", "h1", "h2", "h3", "h4", "ul", "ol", "pre", "div"]) is None


def _rows(table: Tag) -> Iterator[list[str]]:
    for row in table.find_all("tr"):
        yield [cell.get_text() for cell in row.find_all(["td", "th"])]
