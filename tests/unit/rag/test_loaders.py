import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parley_rag.load.extraction import BlockKind, Extraction, UnreadableDocument
from parley_rag.load.loaders import load
from parley_rag.load.sniff import DocumentKind, sniff

from tests.unit.rag.papers import pdf, scanned_pdf

PAGE = b"""<!DOCTYPE html><html><head><title>Pump manual</title><style>p{}</style></head><body>
<nav><a href=/>Home</a></nav><main><h1>Pumps</h1><p>A pump <b>moves</b> water.</p>
<h2>Care<a class=headerlink>\xc2\xb6</a></h2><ul><li>Oil it.</li><li>Dry it.</li></ul>
<pre>pump --start\n  --slow</pre><table><tr><th>Part</th><th>Price</th></tr>
<tr><td>Seal</td><td>4</td></tr></table>
<script>alert("no")</script></main><footer role=contentinfo>Imprint</footer></body></html>"""
MARKDOWN = b"""---
title: Kettle
---
# The kettle

It *boils* [water](http://x.example) with `power()`.
It has a lid.

## Parts
1. lid
2. body
   - handle

| part | cost |
|------|------|
| lid  | 3    |

```python
def boil():
    return 100
```
"""


def blocks(extraction: Extraction) -> list[tuple[str, str]]:
    return [(block.kind.value, extraction.text[block.start : block.end]) for block in extraction.blocks]


def headings_of(extraction: Extraction, words: str) -> tuple[str, ...]:
    return next(b.headings for b in extraction.blocks if words in extraction.text[b.start : b.end])


def test_markdown_reads_as_words_under_headings_with_code_and_tables_kept() -> None:
    kind, read = load(MARKDOWN, "kettle.md")
    assert kind is DocumentKind.MARKDOWN
    assert read.title == "Kettle"
    assert blocks(read) == [
        ("heading", "The kettle"),
        ("paragraph", "It boils water with power(). It has a lid."),
        ("heading", "Parts"),
        ("paragraph", "1. lid"),
        ("paragraph", "2. body"),
        ("paragraph", "  - handle"),
        ("table", "part | cost\nlid | 3"),
        ("lines", "def boil():\n    return 100"),
    ]
    assert headings_of(read, "handle") == ("The kettle", "Parts")


def test_html_reads_as_its_main_text_without_navigation_and_scripts() -> None:
    kind, read = load(PAGE, "pumps.html")
    assert kind is DocumentKind.HTML
    assert read.title == "Pump manual"
    assert blocks(read) == [
        ("heading", "Pumps"),
        ("paragraph", "A pump moves water."),
        ("heading", "Care"),
        ("paragraph", "- Oil it."),
        ("paragraph", "- Dry it."),
        ("lines", "pump --start\n  --slow"),
        ("table", "Part | Price\nSeal | 4"),
    ]
    assert headings_of(read, "Oil") == ("Pumps", "Care")


def test_a_page_that_stands_in_a_form_is_read_and_other_forms_are_not() -> None:
    search = b"<form>Search this site</form>"
    _, read = load(b"<html><body>%b<p>All that is to be said.</p></body></html>" % search, "a.html")
    assert read.text.strip() == "All that is to be said."
    _, read = load(b"<html><body><form><h1>Care</h1><p>Oil it.</p></form></body></html>", "a.html")
    assert headings_of(read, "Oil it.") == ("Care",)


def test_deeply_nested_html_is_read() -> None:
    _, read = load(b"<html><body>" + b"<div>" * 3000 + b"deep words" + b"</div>" * 3000, "deep.html")
    assert "deep words" in read.text


def test_plain_text_keeps_its_words_and_finds_headings() -> None:
    text = "Pumps\r\n=====\r\n\r\nA pump moves water.\r\n\r\n2.1 Care\r\n\r\nOil it.\r\n"
    kind, read = load(text.encode(), "README")
    assert kind is DocumentKind.PLAIN
    assert read.text == text.replace("\r\n", "\n")
    assert headings_of(read, "Oil it") == ("Pumps", "2.1 Care") or headings_of(read, "Oil it")[-1] == "Care"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_is_read_in_the_usual_encodings(encoding: str) -> None:
    _, read = load("Größe: 5 €".encode(encoding), "a.txt")
    assert read.text == "Größe: 5 €"


def test_a_pdf_gives_pages_headings_and_joined_lines() -> None:
    body = "This line of the manual is long enough to run on to the"
    _, read = load(
        pdf(
            [
                ["1 Introduction", body, "next one with hyphen-", "ation in it."],
                ["2 Care", "Oil the pump."],
            ],
            outline={"Introduction": 1, "Care": 2},
        ),
        "manual.pdf",
    )
    assert len(read.page_starts) == 2
    assert "to the next one with hyphenation in it." in read.text
    assert read.text[read.page_starts[1] :].startswith("2 Care")
    assert headings_of(read, "Oil the pump")[-1] == "Care"


def test_running_headers_and_page_numbers_are_dropped_from_pdfs() -> None:
    pages = [
        ["The Manual", f"Chapter words of page {n} are here.", f"More of {n}.", str(n)] for n in range(1, 7)
    ]
    _, read = load(pdf(pages), "manual.pdf")
    assert "The Manual" not in read.text
    assert "Chapter words of page 3 are here." in read.text
    assert not any(line.isdigit() for line in read.text.split("\n"))


def test_a_table_of_contents_is_kept_but_not_searched() -> None:
    contents = [f"{n} Topic number {n} {'. ' * 20}{n}" for n in range(1, 12)]
    _, read = load(pdf([contents, ["Topic number 4 is about valves."]]), "manual.pdf")
    assert read.blocks[0].kind is BlockKind.LISTING


@pytest.mark.parametrize(
    ("data", "name", "says"),
    [
        (b"", "a.txt", "empty"),
        (b" \n\t ", "a.txt", "blank"),
        (b"MZ\x90\x00" + bytes(100), "tool.pdf", "The name says PDF, but the file is a Windows program"),
        (b"plain words", "fake.pdf", "no PDF header"),
        (b"PK\x03\x04rest", "letter.docx", "damaged"),
        (b"\x00\x01\x02\x03" * 50, "a.bin", "not text"),
        (bytes(range(1, 32)) * 20, "a.txt", "not text"),
        (b"%PDF-1.7\nbroken", "a.pdf", "damaged"),
        (b"<html><body><script>x()</script></body></html>", "a.html", "no text"),
        (pdf([["secret"]], password="x"), "a.pdf", "encrypted"),
        (scanned_pdf(), "a.pdf", "scan"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, name: str, says: str) -> None:
    with pytest.raises(UnreadableDocument, match=says):
        load(data, name)


@given(st.text(max_size=600), st.sampled_from(["a.txt", "a.md", "a.html"]))
@settings(max_examples=200, deadline=None)
def test_blocks_are_ordered_spans_of_storable_text_whatever_is_read(text: str, name: str) -> None:
    try:
        _, read = load(text.encode("utf-8", errors="surrogatepass"), name)
    except UnreadableDocument:
        return
    read.text.encode()  # no lone surrogates
    assert "\x00" not in read.text
    ends = [0, *(block.end for block in read.blocks)]
    for before, block in zip(ends, read.blocks, strict=False):
        assert before <= block.start < block.end <= len(read.text)
        assert read.text[block.start : block.end].strip()


def test_a_comment_before_the_first_tag_hides_no_page() -> None:
    page = b"\n<!-- a - b -- c -->\n<!--->--> <!---->\n<!DOCTYPE html><p>Pumps</p>"
    assert load(page, "a.txt")[0] is DocumentKind.HTML
    assert sniff(b"<?xml version='1.0'?>" + page, "a.txt") is DocumentKind.HTML
    assert load(b"<!-- <html> is not closed <html>", "a.txt")[0] is DocumentKind.PLAIN


def test_markdown_leaves_comments_out_even_unclosed_ones() -> None:
    _, read = load(b"Words.\n\n<div>A <b>box</b></div>\n\n<!-- one -->\n\nMore.\n\n<!-- two <b", "a.md")
    assert [text for _, text in blocks(read)] == ["Words.", "A box", "More."]
