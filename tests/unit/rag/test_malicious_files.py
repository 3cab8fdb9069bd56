"""Files made to do harm: each is refused, or read, in bounded time and memory, with a reason in words."""

import struct
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_BZIP2, ZIP_STORED, ZipFile, ZipInfo

import pytest
import pytest_asyncio
from parley_rag.load.extraction import UnreadableDocument
from parley_rag.load.limits import ReadLimits
from parley_rag.nursery import Nursery, open_nursery
from parley_rag.reading import Member, ReadText, read_archive, read_document

from tests.unit.rag.office_files import docx_file, epub_file, mail_file, with_file, xlsx_file, zipped
from tests.unit.rag.papers import CATALOG, PAGE, WORDS, pdf_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMITS = ReadLimits(timeout_s=20, memory_bytes=512 << 20, inflated_bytes=8 << 20, text_chars=1_000_000)
GOOD = b"Oil the pump.\n"


def files_in(folder: Path) -> set[Path]:
    """Return the files in a folder and below."""
    return {path for path in folder.rglob("*") if path.is_file()}


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads files as the service does."""

    nursery: Nursery

    async def read(self, data: bytes, name: str, limits: ReadLimits = LIMITS) -> ReadText:
        return await read_document(data, name, limits, processes=self.nursery)

    async def unpack(
        self, data: bytes, into: Path, limits: ReadLimits = LIMITS, name: str = "a.zip"
    ) -> tuple[Member, ...]:
        return (await read_archive(data, name, limits, into, self.nursery)).members

    async def refused(self, data: bytes, name: str, limits: ReadLimits = LIMITS) -> str:
        """Return why a document is refused."""
        with pytest.raises(UnreadableDocument) as error:
            await self.read(data, name, limits)
        return str(error.value)

    async def unpacked(
        self, data: bytes, into: Path, limits: ReadLimits = LIMITS, name: str = "a.zip"
    ) -> dict[str, str]:
        """Return what became of each member: its words, or why it was refused."""
        members = await self.unpack(data, into, limits, name)
        left = {member.path for member in members if member.path}
        assert files_in(into) == left, "nothing but the members is left"
        return {
            member.name: member.path.read_text() if member.path else str(member.error) for member in members
        }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reading() -> AsyncGenerator[Reading]:
    async with open_nursery() as nursery:
        yield Reading(nursery)


def entry(name: str, *, mode: int = 0o100644) -> ZipInfo:
    info = ZipInfo(name)
    info.external_attr = mode << 16
    return info


def archive_of(*entries: tuple[ZipInfo | str, bytes], compression: int = ZIP_STORED) -> bytes:
    file = BytesIO()
    with ZipFile(file, "w", compression) as archive:
        for info, content in entries:
            archive.writestr(info, content)
    return file.getvalue()


# Archives


async def test_an_entry_that_unpacks_into_too_much_is_refused_and_the_others_are_not(
    reading: Reading, tmp_path: Path
) -> None:
    bomb = zipped({"bomb.txt": bytes(9 << 20), "zeros.txt": bytes(4 << 20), "good.txt": GOOD})
    found = await reading.unpacked(bomb, tmp_path)
    assert "larger than the 8 MiB allowed" in found["bomb.txt"]
    assert "200 times" in found["zeros.txt"]
    assert found["good.txt"] == GOOD.decode()


async def test_entries_are_refused_from_where_they_are_too_much_together(
    reading: Reading, tmp_path: Path
) -> None:
    files = {f"{number}.txt": bytes([65 + number]) * (1 << 20) for number in range(10)}
    found = await reading.unpacked(zipped(files, ZIP_STORED), tmp_path)
    assert [name for name, words in found.items() if "larger than" in words] == ["8.txt", "9.txt"]


async def test_archives_in_archives_share_one_limit(reading: Reading, tmp_path: Path) -> None:
    inner = zipped({f"{n}.txt": b"x" * (1 << 20) for n in range(3)})
    found = await reading.unpacked(
        zipped({f"{n}.zip": inner for n in range(5)} | {"good.txt": GOOD}), tmp_path
    )
    assert sum(words == "x" * (1 << 20) for words in found.values()) == 7
    assert "larger than" in found["3.zip/0.txt"]


async def test_archives_nested_too_deep_are_refused(reading: Reading, tmp_path: Path) -> None:
    nested = zipped({"words.txt": GOOD})
    for _ in range(4):
        nested = zipped({"in.zip": nested, "good.txt": GOOD})
    found = await reading.unpacked(nested, tmp_path)
    assert found.pop("in.zip/in.zip/in.zip") == "Archives are nested more than 3 deep."
    assert set(found) == {"good.txt", "in.zip/good.txt", "in.zip/in.zip/good.txt"}


async def test_an_archive_that_holds_itself_is_not_followed_for_ever(
    reading: Reading, tmp_path: Path
) -> None:
    inner = zipped({"a.txt": GOOD})
    many = zipped({f"{n}.zip": inner for n in range(50)})
    limits = replace(LIMITS, archive_entries=60)
    found = await reading.unpacked(many, tmp_path, limits)
    assert "more than 60 files" in " ".join(found.values())
    assert len(files_in(tmp_path)) <= 60


def overlapping() -> bytes:
    """Return an archive whose second entry lies within its first."""
    stored = archive_of(("a.txt", archive_of(("b.txt", GOOD))), ("b.txt", GOOD))
    second = stored.rindex(b"PK\x03\x04")
    inner = stored.index(b"PK\x03\x04", 4)
    at = stored.rindex(b"PK\x01\x02")
    return stored[: at + 42] + struct.pack("<L", inner) + stored[at + 46 :] if second else b""


async def test_entries_that_overlap_are_refused(reading: Reading, tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument, match="overlap"):
        await reading.unpack(overlapping(), tmp_path)
    assert "overlap" in await reading.refused(overlapping(), "a.zip")


async def test_names_that_lead_elsewhere_or_hide_something_are_refused_one_by_one(
    reading: Reading, tmp_path: Path
) -> None:
    into = tmp_path / "in" / "here"
    into.mkdir(parents=True)
    link = entry("link.txt", mode=0o120777)
    data = archive_of(
        *(
            (entry(name), GOOD)
            for name in ("../../out.txt", "/etc/out.txt", "C:\\out.txt", "a\\..\\..\\out.txt")
        ),
        *(
            (entry(name), GOOD)
            for name in ("tab\there.txt", "right\u202eleft.txt", "n" * 400, "a/./b//good.txt")
        ),
        (link, b"/etc/passwd"),
        (entry("pipe", mode=0o010644), GOOD),
        (entry("good.txt"), GOOD),
        (entry("./good.txt"), b"twice"),
        (entry("empty.txt"), b""),
        *((entry(name), GOOD) for name in (".", "/", "//", "..")),
        (entry("__MACOSX/._good.txt"), GOOD),
        (entry("folder/"), b""),
    )
    members = await reading.unpack(data, into)
    said = [(member.name[:20], member.error) for member in members]
    assert said == [
        ("../../out.txt", "Its name leads out of its folder."),
        ("/etc/out.txt", "Its name is an absolute path."),
        ("C:\\out.txt", "Its name is an absolute path."),
        ("a\\..\\..\\out.txt", "Its name leads out of its folder."),
        ("tab\ufffdhere.txt", "Its name holds control characters."),
        ("right\ufffdleft.txt", "Its name holds control characters."),
        ("n" * 20, "Its name is longer than 300 characters."),
        ("a/b/good.txt", None),
        ("link.txt", "It is a link, not a file."),
        ("pipe", "It is no ordinary file."),
        ("good.txt", None),
        ("./good.txt", "Another file in the archive has the same name."),
        ("empty.txt", "The file is empty."),
        (".", "It has no name."),
        ("/", "Its name is an absolute path."),
        ("//", "Its name is an absolute path."),
        ("..", "Its name leads out of its folder."),
    ]
    assert files_in(tmp_path) == files_in(into)


async def test_an_encrypted_entry_or_one_packed_otherwise_is_refused(
    reading: Reading, tmp_path: Path
) -> None:
    data = bytearray(archive_of((entry("secret.txt"), GOOD), (entry("good.txt"), GOOD)))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    assert "encrypted" in (await reading.unpacked(bytes(data), tmp_path))["secret.txt"]
    packed = archive_of(("a.txt", GOOD * 100), compression=ZIP_BZIP2)
    (words,) = [member.error for member in await reading.unpack(packed, tmp_path)]
    assert "ordinary ZIP" in str(words)


async def test_a_damaged_entry_does_not_harm_the_others(reading: Reading, tmp_path: Path) -> None:
    data = bytearray(archive_of(("bad.txt", b"words" * 10), ("good.txt", GOOD)))
    data[data.index(b"wordswords")] ^= 1
    assert await reading.unpacked(bytes(data), tmp_path) == {
        "bad.txt": "It is damaged.",
        "good.txt": GOOD.decode(),
    }


async def test_an_archive_of_too_many_files_is_refused_before_its_directory_is_read(
    reading: Reading, tmp_path: Path
) -> None:
    many = archive_of(*((str(number), b"") for number in range(200)))
    with pytest.raises(UnreadableDocument, match="more than 100 files"):
        await reading.unpack(many, tmp_path, replace(LIMITS, archive_entries=100))
    lying = bytearray(many)  # it says it has one
    lying[-14:-10] = struct.pack("<2H", 1, 1)
    with pytest.raises(UnreadableDocument, match="more than 100 files"):
        await reading.unpack(bytes(lying), tmp_path, replace(LIMITS, archive_entries=100))


async def test_broken_nesting_of_an_e_mail_is_bounded(reading: Reading, tmp_path: Path) -> None:
    deep = b"From: a@b\n" + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(1050)
    )
    assert "nested too deeply" in await reading.refused(deep, "a.eml")
    same = b"From: a@b\nContent-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\nwords\n" * 1100
    assert "more than 1,000 parts" in await reading.refused(same, "a.eml")
    mail = mail_file("Words.", {"../../a\x01b.txt": GOOD, "in.zip": zipped({"../x": GOOD, "ok.txt": GOOD})})
    found = await reading.unpacked(mail, tmp_path, name="a.eml")
    assert GOOD.decode() in found.values()
    assert found["in.zip/../x"] == "Its name leads out of its folder."
    assert found["in.zip/ok.txt"] == GOOD.decode()


# Office files

ENTITIES = '<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(10)
)
LAUGHS = (
    f'<?xml version="1.0"?><!DOCTYPE w:document [{ENTITIES}]>'
    '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r>'
    "<w:t>&k;</w:t></w:r></w:p></w:body></w:document>"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
async def test_a_document_that_laughs_is_refused(reading: Reading, encoding: str) -> None:
    laughing = LAUGHS.replace("?>", f' encoding="{encoding}"?>', 1).encode(encoding)
    data = with_file(docx_file({"Care": ["Oil it."]}), "word/document.xml", laughing)
    assert "document type" in await reading.refused(data, "a.docx")


async def test_entities_and_files_named_by_a_book_are_not_read(reading: Reading) -> None:
    book = f'<!DOCTYPE package [{ENTITIES}<!ENTITY f SYSTEM "file:///etc/passwd">]>' + (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        '<dc:title>&f;&k;</dc:title></metadata><manifest><item id="a" href="text/a.xhtml" '
        'media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine></package>'
    )
    data = with_file(epub_file({"a.xhtml": "<p>Words.</p>"}), "OEBPS/book.opf", book)
    said = ""
    with suppress(UnreadableDocument):
        read = await reading.read(data, "a.epub")
        said = f"{read.title} {read.text}"
    assert "root:" not in said
    assert len(said) < 100


@pytest.mark.parametrize("part", ["word/document.xml", "word/media/a.png"])
async def test_an_office_file_with_a_part_that_is_a_bomb_is_refused(reading: Reading, part: str) -> None:
    data = with_file(docx_file({"Care": ["Oil it."]}), part, bytes(5 << 20))
    assert "200 times" in await reading.refused(data, "a.docx")


async def test_a_sheet_that_claims_to_be_huge_is_refused(reading: Reading) -> None:
    sheet = xlsx_file({"Parts": [["a", "b"]]})
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    cells = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    data = with_file(
        sheet,
        "xl/worksheets/sheet1.xml",
        f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>',
    )
    assert "memory" in await reading.refused(data, "a.xlsx")


async def test_xml_that_is_nested_without_end_is_refused(reading: Reading) -> None:
    deep = (
        '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        + "<w:body>" * 90_000
    )
    data = with_file(docx_file({"Care": ["Oil it."]}), "word/document.xml", deep)
    assert "damaged" in await reading.refused(data, "a.docx")


# Other kinds


async def test_deep_json_is_refused(reading: Reading) -> None:
    assert "64 levels" in await reading.refused(b"[" * 100_000 + b"]" * 100_000, "a.json")
    assert "64 levels" in await reading.refused(b'{"a":' * 70 + b"1" + b"}" * 70, "a.json")
    assert "64 levels" in await reading.refused(b'{"a":1}\n' + b"[" * 5000 + b"\n", "a.jsonl")


async def test_a_huge_field_of_a_table_is_refused(reading: Reading) -> None:
    assert "never closed" in await reading.refused(b'a,b\n1,"' + b"x" * 200_000, "a.csv")


LOOPING: dict[str, Callable[[], bytes]] = {
    "page-tree": lambda: pdf_of(
        CATALOG, b"<</Type/Pages/Count 2/Kids[3 0 R 2 0 R]/Parent 2 0 R>>", PAGE, WORDS
    ),
    "outline": lambda: pdf_of(
        b"<</Type/Catalog/Pages 2 0 R/Outlines 5 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        *(PAGE, WORDS),
        b"<</First 6 0 R/Last 7 0 R/Count 2>>",
        b"<</Title(One)/Parent 5 0 R/Next 7 0 R/First 6 0 R/Dest[3 0 R/Fit]>>",
        b"<</Title(Two)/Parent 5 0 R/Next 6 0 R/Dest[3 0 R/Fit]>>",
    ),
    "form": lambda: pdf_of(
        CATALOG,
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        PAGE.replace(b"/Resources<<", b"/Resources<</XObject<</X 5 0 R>>"),
        WORDS.replace(b"BT ", b"/X Do BT ").replace(b"39", b"45"),
        b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 5 0 R>>>>/Length 5>>"
        b"\nstream\n/X Do\nendstream",
    ),
    "xref": lambda: (whole := pdf_of(CATALOG, b"<</Type/Pages/Count 1/Kids[3 0 R]>>", PAGE, WORDS)).replace(
        b"/Size", b"/Prev %d /Size" % whole.rindex(b"xref\n0")
    ),
    "length": lambda: pdf_of(
        CATALOG, b"<</Type/Pages/Count 1/Kids[3 0 R]>>", PAGE, WORDS.replace(b"/Length 39", b"/Length 4 0 R")
    ),
}


@pytest.mark.parametrize("loop", LOOPING)
async def test_a_pdf_that_loops_is_read_or_refused(reading: Reading, loop: str) -> None:
    started_s = time.monotonic()
    try:
        said = (await reading.read(LOOPING[loop](), "a.pdf", LIMITS)).text
    except UnreadableDocument as error:
        said = str(error)
    assert "Oil it." in said or "damaged" in said or "holds no text" in said
    assert time.monotonic() - started_s < LIMITS.timeout_s


async def test_a_pdf_that_claims_a_million_pages_is_refused(reading: Reading) -> None:
    data = pdf_of(CATALOG, b"<</Type/Pages/Count 1000000/Kids[3 0 R]>>", PAGE, WORDS)
    assert "more than 20,000 pages" in await reading.refused(data, "a.pdf")


async def test_a_pdf_that_claims_a_gigabyte_is_refused_or_read_without_it(reading: Reading) -> None:
    claim = WORDS.replace(b"/Length 39", b"/Length 1073741824")
    data = pdf_of(CATALOG, b"<</Type/Pages/Count 1/Kids[3 0 R]>>", PAGE, claim)
    far = data.replace(b"startxref\n", b"startxref\n1073741824")
    for sparse in (data, far):
        try:
            said = (await reading.read(sparse, "a.pdf", LIMITS)).text
        except UnreadableDocument as error:
            said = str(error)
        assert "Oil it." in said or "damaged" in said or "no text" in said


@pytest.mark.parametrize("words", [b"a" * 100_000, b"a" + b"." * 100_000 + b"x"], ids=["letters", "dots"])
async def test_a_page_of_one_endless_word_is_read(reading: Reading, words: bytes) -> None:
    content = b"BT /F 12 Tf 10 100 Td (" + words + b") Tj ET"
    stream = b"<</Length %d>>\nstream\n%b\nendstream" % (len(content), content)
    data = pdf_of(CATALOG, b"<</Type/Pages/Count 1/Kids[3 0 R]>>", PAGE, stream)
    assert words.decode()[:1000] in (await reading.read(data, "a.pdf")).text


async def test_half_a_character_in_a_title_harms_no_pdf(reading: Reading) -> None:
    title = b"/Title <FEFF0041D8000042>"
    data = pdf_of(
        b"<</Type/Catalog/Pages 2 0 R/Outlines 6 0 R>>",
        *(b"<</Type/Pages/Count 1/Kids[3 0 R]>>", PAGE, WORDS),
        b"<<%b/Author(Ada)>>" % title,
        b"<</First 7 0 R/Last 7 0 R/Count 1>>",
        b"<<%b/Parent 6 0 R/Dest[3 0 R/Fit]>>" % title,
        trailer=b"/Root 1 0 R /Info 5 0 R",
    )
    read = await reading.read(data, "a.pdf")
    assert (read.text.strip(), read.title, read.metadata.author) == ("Oil it.", None, "Ada")


async def test_a_page_of_too_many_characters_is_refused(reading: Reading) -> None:
    data = pdf_of(CATALOG, b"<</Type/Pages/Count 1/Kids[3 0 R]>>", PAGE, WORDS)
    assert "Page 1 holds more than 3" in await reading.refused(data, "a.pdf", replace(LIMITS, page_chars=3))
