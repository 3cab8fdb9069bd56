"""Markdown: the words without the markup; code and tables stay readable."""

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from parley_rag.load.extraction import BlockKind, Extraction, HeadingPath, Metadata, TextBuilder
from parley_rag.load.sniff import decode

# No character is looked at from many starts: what is not closed ends at the text's end or at the next `<`.
_FRONT_MATTER = re.compile(r"\A---[^\S\n]*\n(.*?\n)(?:---|\.\.\.)[^\S\n]*\n", re.S)
_FRONT_LINE = re.compile(r"^(title|author|date|updated|lastmod|modified|lang|language):(.*)$", re.M | re.I)
_TAG = re.compile(r"<!--.*?(?:-->|\Z)|<[^<>]+>", re.S)


def load_markdown(data: bytes) -> Extraction:
    """Read Markdown (CommonMark with tables)."""
    source = decode(data).lstrip("\ufeff").replace("\r\n", "\n")
    front = _FRONT_MATTER.match(source)
    said: dict[str, str] = {}
    for key, value in _FRONT_LINE.findall(front.group(1)) if front else ():
        said.setdefault(key.lower(), value.strip().strip("\"'"))
    body = source[front.end() :] if front else source
    writer = _Writer()
    writer.write(MarkdownIt("commonmark").enable("table").parse(body))
    metadata = Metadata.of(
        author=said.get("author"),
        language=said.get("lang") or said.get("language"),
        written=said.get("date"),
        modified=said.get("lastmod") or said.get("updated") or said.get("modified"),
    )
    return writer.builder.build(said.get("title") or writer.title, metadata)


class _Writer:
    """Walks the tokens of a document and writes their words."""

    def __init__(self) -> None:
        self.builder = TextBuilder()
        self.title: str | None = None
        self._path = HeadingPath()
        self._items: list[int | None] = []  # the next number of each open list; None for bullets
        self._marker = ""
        self._row: list[str] = []
        self._table: list[list[str]] = []

    def write(self, tokens: Sequence[Token]) -> None:
        for index, token in enumerate(tokens):
            match token.type:
                case "heading_open":
                    self._heading(int(token.tag[1:]), _words(tokens[index + 1]))
                case "inline" if tokens[index - 1].type == "paragraph_open":
                    self._paragraph(_words(token))
                case "inline" if tokens[index - 1].type in {"th_open", "td_open"}:
                    self._row.append(_words(token))
                case "fence" | "code_block":
                    self._add(BlockKind.LINES, token.content)
                case "html_block":
                    self._add(BlockKind.PARAGRAPH, _TAG.sub("", token.content))
                case _:
                    self._structure(token)

    def _structure(self, token: Token) -> None:
        match token.type:
            case "bullet_list_open":
                self._items.append(None)
            case "ordered_list_open":
                self._items.append(int(token.attrGet("start") or 1))
            case "bullet_list_close" | "ordered_list_close":
                self._items.pop()
            case "list_item_open":
                self._open_item()
            case "tr_close":
                self._table.append(self._row)
                self._row = []
            case "table_close":
                self.builder.add_table(self._table, self._path.titles())
                self._table = []
            case _:
                pass

    def _heading(self, level: int, words: str) -> None:
        self._path.enter(level, words)
        if level == 1 and self.title is None:
            self.title = words
        self._add(BlockKind.HEADING, words)

    def _open_item(self) -> None:
        number = self._items[-1]
        self._marker = "- " if number is None else f"{number}. "
        if number is not None:
            self._items[-1] = number + 1

    def _paragraph(self, words: str) -> None:
        if not self._items:
            self._add(BlockKind.PARAGRAPH, words)
            return
        indent = "  " * (len(self._items) - 1)
        self._add(BlockKind.PARAGRAPH, f"{indent}{self._marker or '  '}{words}", gap="\n")
        self._marker = ""

    def _add(self, kind: BlockKind, text: str, *, gap: str = "\n\n") -> None:
        self.builder.add(kind, text, self._path.titles(), gap=gap)


def _words(inline: Token) -> str:
    """Return what an inline token reads as: link texts, code, the descriptions of images."""
    words: list[str] = []
    for child in inline.children or []:
        if child.type in {"text", "code_inline", "image"}:
            words.append(child.content)
        elif child.type == "softbreak":
            words.append(" ")
        elif child.type == "hardbreak":
            words.append("\n")
    return "".join(words).strip()
