import pytest
from parley_rag.load.extraction import BlockKind, Extraction, Metadata, UnreadableDocument
from parley_rag.load.loaders import load
from parley_rag.load.sniff import DocumentKind

from tests.unit.rag.office_files import (
    docx_file,
    epub_file,
    ods_file,
    pptx_file,
    with_file,
    xlsx_file,
    zipped,
)

CREATED_MS = 1714557600000  # 2024-05-01 10:00 UTC
MODIFIED_MS = 1717236000000
PARTS = [["Part", "Price"], ["Seal", "4"], ["Valve", "12"]]


def blocks(extraction: Extraction) -> list[tuple[str, str]]:
    return [(block.kind.value, extraction.text[block.start : block.end]) for block in extraction.blocks]


def table_header(extraction: Extraction) -> str:
    return next(block.header for block in extraction.blocks if block.kind is BlockKind.TABLE)


def test_a_word_document_reads_in_order_under_its_headings() -> None:
    sections = {"Care": ["Oil the pump.", "Dry it."], "Parts": ["See the table."]}
    kind, read = load(docx_file(sections, table=PARTS), "anything.bin")
    assert kind is DocumentKind.DOCX
    assert read.title == "Pumps"
    assert blocks(read) == [
        ("heading", "Pump manual"),
        ("heading", "Care"),
        ("paragraph", "Oil the pump."),
        ("paragraph", "Dry it."),
        ("heading", "Parts"),
        ("paragraph", "See the table."),
        ("table", "Part | Price\nSeal | 4\nValve | 12"),
        ("paragraph", "After the table."),
    ]
    assert read.blocks[2].headings == ("Pump manual", "Care")
    assert table_header(read) == "Part | Price"
    assert read.metadata == Metadata("Ada", "en-GB", CREATED_MS, MODIFIED_MS)


def test_insertions_text_boxes_and_notes_are_read_and_deletions_are_not() -> None:
    w = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    box = "<w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent>"
    body = (
        f'<w:document xmlns:w="{w}" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"><w:body>'
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>Controlled</w:t><w:tab/><w:t>words</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        "<w:p><w:ins><w:r><w:t>new </w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del>"
        f"<w:hyperlink><w:r><w:t>link</w:t></w:r></w:hyperlink><w:r><mc:AlternateContent><mc:Choice>{box}</mc:Choice>"
        f"<mc:Fallback>{box}</mc:Fallback></mc:AlternateContent></w:r></w:p>"
        '<w:p><w:pPr><w:numPr/><w:outlineLvl w:val="9"/></w:pPr><w:r><w:t>an item</w:t></w:r></w:p>'
        '<w:p><w:pPr><w:outlineLvl w:val="1"/></w:pPr><w:r><w:t>A section</w:t></w:r></w:p>'
        "</w:body></w:document>"
    )
    _, read = load(with_file(docx_file({}), "word/document.xml", body), "a.docx")
    assert blocks(read) == [
        ("paragraph", "Controlled\twords"),
        ("paragraph", "new link\n\nboxed"),
        ("paragraph", "- an item"),
        ("heading", "A section"),
    ]


def test_a_text_box_in_a_cell_is_read_once() -> None:
    w = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    mc = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    box = "<w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent>"
    inner = "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>inner</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
    body = (
        f'<w:document xmlns:w="{w}" xmlns:mc="{mc}"><w:body><w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r>'
        f"<w:r><mc:AlternateContent><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback>"
        f"</mc:AlternateContent></w:r></w:p>{inner}</w:tc></w:tr></w:tbl></w:body></w:document>"
    )
    _, read = load(with_file(docx_file({}), "word/document.xml", body), "a.docx")
    assert blocks(read) == [("table", "a boxed; inner")]


def test_a_slide_is_a_page_with_its_title_first_and_its_notes_last() -> None:
    slides = [("Care", ["Oil the pump.", "Dry it."]), ("Parts", ["A seal."])]
    kind, read = load(pptx_file(slides, notes="Say it slowly."), "talk.pptx")
    assert kind is DocumentKind.PPTX
    assert blocks(read) == [
        ("heading", "Care"),
        ("paragraph", "Oil the pump.\nDry it."),
        ("paragraph", "Say it slowly."),
        ("heading", "Parts"),
        ("paragraph", "A seal."),
    ]
    assert len(read.page_starts) == 2
    assert read.text[read.page_starts[1] :].startswith("Parts")
    assert read.title == "Pump slides"
    assert read.metadata == Metadata("Ada", "en-GB", CREATED_MS, MODIFIED_MS)


def test_a_slide_that_is_listed_again_and_again_is_read_once() -> None:
    talk = pptx_file([("Care", ["Oil."])])
    p = "http://schemas.openxmlformats.org/presentationml/2006/main"
    r = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    slides = '<p:sldId r:id="r1"/>' * 9
    listed = f'<p:presentation xmlns:p="{p}" xmlns:r="{r}">{slides}</p:presentation>'
    _, read = load(with_file(talk, "ppt/presentation.xml", listed), "a.pptx")
    assert read.text.count("Oil.") == 1


def test_a_sheet_is_a_heading_with_a_table() -> None:
    sheets = {
        "Parts": [["Part", "Price"], ["Seal", 4.0], ["Valve", 12.5]],
        "Empty": [],
        "Notes": [["Oil it."]],
    }
    kind, read = load(xlsx_file(sheets), "parts.xlsx")
    assert kind is DocumentKind.XLSX
    assert blocks(read) == [
        ("heading", "Parts"),
        ("table", "Part | Price\nSeal | 4\nValve | 12.5"),
        ("heading", "Notes"),
        ("table", "Oil it."),
    ]
    assert read.blocks[1].headings == ("Parts",)
    assert table_header(read) == "Part | Price"
    assert (read.title, read.metadata.author) == ("Parts", "Ada")


def test_an_open_document_spreadsheet_reads_like_any_other() -> None:
    kind, read = load(ods_file(PARTS), "parts.ods")
    assert kind is DocumentKind.ODS
    assert ("table", "Part | Price\nSeal | 4\nValve | 12") in blocks(read)
    assert read.metadata == Metadata("Ada", None, CREATED_MS, None)


def test_a_book_reads_in_the_order_of_its_spine() -> None:
    chapters = {
        "b.xhtml": "<h1>Care</h1><p>Oil it.</p>",
        "a.xhtml": "<h1>Start</h1><p>Hello.</p>",
        "c.xhtml": "",
    }
    book = epub_file(chapters, reading_order=["a.xhtml", "b.xhtml", "c.xhtml", "a.xhtml"])
    kind, read = load(book, "pump.epub")
    assert kind is DocumentKind.EPUB
    assert blocks(read) == [
        ("heading", "Start"),
        ("paragraph", "Hello."),
        ("heading", "Care"),
        ("paragraph", "Oil it."),
    ]
    assert (read.title, read.metadata.author, read.metadata.language) == ("The pump", "Ada", "en")


def test_a_protected_book_says_so() -> None:
    lock = (
        '<encryption><EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/></encryption>'
    )
    book = with_file(epub_file({"a.xhtml": "<p>x</p>"}), "META-INF/encryption.xml", lock)
    with pytest.raises(UnreadableDocument, match="protected"):
        load(book, "a.epub")


OLD = b"\xd0\xcf\x11\xe0" + bytes(600)


@pytest.mark.parametrize(
    ("data", "name", "says"),
    [
        (OLD + "WordDocument".encode("utf-16-le"), "a.doc", "old Word document"),
        (OLD + "PowerPoint Document".encode("utf-16-le"), "a.ppt", "old PowerPoint"),
        (OLD + "__properties_version1.0".encode("utf-16-le"), "a.msg", "Outlook message"),
        (OLD + "EncryptedPackage".encode("utf-16-le"), "a.docx", "encrypted office document"),
        (OLD + "Workbook\0".encode("utf-16-le"), "a.xls", "spreadsheet is damaged"),
        (b"{\\rtf1 words}", "a.rtf", "rich-text"),
        (zipped({"mimetype": "application/vnd.oasis.opendocument.text"}), "a.odt", "OpenDocument text"),
        (zipped({"xl/workbook.bin": "x"}), "a.xlsb", "binary Excel"),
        (zipped({"word/document.xml": "<not closed"}), "a.docx", "Word document is damaged"),
        (zipped({"ppt/presentation.xml": "<not closed"}), "a.pptx", "not valid XML"),
        (zipped({"xl/workbook.xml": "<not closed"}), "a.xlsx", "spreadsheet is damaged"),
        (zipped({"META-INF/container.xml": "<a/>"}), "a.epub", "book is damaged"),
        (docx_file({})[:-40], "a.docx", "end is missing"),
    ],
)
def test_office_files_that_cannot_be_read_say_why(data: bytes, name: str, says: str) -> None:
    with pytest.raises(UnreadableDocument, match=says):
        load(data, name)
