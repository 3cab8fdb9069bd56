import asyncio
import os
import sys
from contextlib import aclosing
from io import BytesIO
from pathlib import Path

import pytest
from parley_rag.load.extraction import Metadata, ScannedDocument, UnreadableDocument
from parley_rag.load.limits import ReadLimits
from parley_rag.reading import read_archive, read_document, render_pages
from PIL import Image

from tests.unit.rag.office_files import docx_file, mail_file, zipped
from tests.unit.rag.papers import partly_scanned_pdf, scanned_pdf
from tests.unit.rag.processes import children_of


async def test_a_document_is_read_and_cut_in_a_process_of_its_own() -> None:
    read = await read_document("# Über\n\nWörter \U0001f600 hier.".encode(), "a.md", ReadLimits())
    assert read.content_type == "text/markdown"
    (chunk,) = read.chunks
    assert read.text[chunk.start : chunk.end] == "Wörter \U0001f600 hier."
    assert chunk.heading == "Über"


async def test_reading_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(UnreadableDocument, match="took longer"):
        await read_document(b"words " * 100_000, "a.txt", ReadLimits(timeout_s=0.05))


async def test_reading_that_takes_too_much_memory_is_given_up() -> None:
    with pytest.raises(UnreadableDocument, match=r"too much memory|reader failed"):
        await read_document(b"words \n\n" * 4_000_000, "a.txt", ReadLimits(memory_bytes=150 << 20))


async def test_a_text_beyond_the_limit_is_refused() -> None:
    with pytest.raises(UnreadableDocument, match="more than 100 characters"):
        await read_document(b"word " * 50, "a.txt", ReadLimits(text_chars=100))


async def test_an_unreadable_document_says_why_across_the_process_border() -> None:
    with pytest.raises(UnreadableDocument, match="Windows program"):
        await read_document(b"MZ\x90\x00", "report.pdf", ReadLimits())


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html"])
@pytest.mark.parametrize(
    "content",
    [
        "<!-- x -->" * 40 + "words",
        "<!--" * 50_000,
        "<p " * 60_000 + "words",
        "<" * 200_000,
        "---" + "\n" * 100_000 + "words\n" * 20_000,
        "---\ntitle: a" + " " * 100_000 + "b\n---\nwords",
        "words\n" + " " * 200_000,
        "```\nwords\n" + " \n" * 300_000 + "words\n```",
    ],
    ids=[
        "comments",
        "open-comments",
        "open-tags",
        "angles",
        "blank-lines",
        "blanks",
        "blank-end",
        "blank-code",
    ],
)
async def test_crafted_markup_takes_no_longer_than_other_text(content: str, name: str) -> None:
    try:
        await read_document(content.encode(), name, ReadLimits(timeout_s=20))
    except UnreadableDocument as error:
        said = str(error)
    else:
        said = ""
    assert "longer" not in said
    assert "failed" not in said


def as_reader(monkeypatch: pytest.MonkeyPatch, folder: Path, program: str, *, before: str = "") -> None:
    """Let documents be read by another program."""
    reader = folder / "reader"
    lines = (f"#!{sys.executable}", "import json, os, sys", before, "sys.stdin.buffer.read()", program, "")
    reader.write_text("\n".join(lines))
    reader.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(reader))


async def test_the_reading_process_is_given_no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PARLEY_LLM_API_KEY", "secret")
    reply = "dict(content_type='', title=None, text=repr(os.environ), page_starts=[], chunks=[], "
    reply += "metadata=[None] * 4, scanned_pages=[], has_members=False)"
    as_reader(monkeypatch, tmp_path, f"print(json.dumps({reply}))")
    read = await read_document(b"words", "a.txt", ReadLimits())
    assert "PATH" in read.text
    assert "secret" not in read.text
    assert "PARLEY" not in read.text


async def test_a_reader_that_writes_without_end_is_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    as_reader(monkeypatch, tmp_path, "while True: sys.stdout.write('x' * 65536)")
    with pytest.raises(UnreadableDocument, match="more than 1,000 characters"):
        await read_document(b"words", "a.txt", ReadLimits(timeout_s=10, text_chars=1000))


async def test_a_reader_that_ends_before_it_has_read_has_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    as_reader(monkeypatch, tmp_path, "", before="os._exit(3)")
    with pytest.raises(UnreadableDocument, match="reader failed"):
        await read_document(b"words " * 100_000, "a.txt", ReadLimits())


async def test_a_reader_that_the_system_kills_has_not_been_slow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    as_reader(monkeypatch, tmp_path, "os.kill(os.getpid(), 9)")
    with pytest.raises(UnreadableDocument, match="needs too much memory"):
        await read_document(b"words", "a.txt", ReadLimits())


async def test_a_reader_that_has_drawn_and_stays_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    as_reader(monkeypatch, tmp_path, "os.close(0); os.close(1); import time; time.sleep(60)")
    with pytest.raises(UnreadableDocument, match="took longer"):
        async for _ in render_pages(b"", [1], ReadLimits(timeout_s=0.5)):
            pass


async def test_metadata_and_the_context_of_cut_tables_come_across_the_process_border() -> None:
    table = [["Part", "Price"], *([f"Seal number {n} of the large pump", f"{n}"] for n in range(60))]
    read = await read_document(docx_file({}, table=table), "a.docx", ReadLimits())
    assert read.metadata == Metadata("Ada", "en-GB", 1714557600000, 1717236000000)
    assert [chunk.context for chunk in read.chunks][:3] == [None, "Part | Price", "Part | Price"]


async def test_an_archive_has_members_and_no_text(tmp_path: Path) -> None:
    data = zipped({"a.txt": "Oil it.", "mail/b.eml": mail_file("Dry it.", {"c.txt": b"Lift it."})})
    read = await read_document(data, "all.zip", ReadLimits())
    assert (read.content_type, read.text, read.chunks, read.has_members) == ("application/zip", "", (), True)
    listing = await read_archive(data, "all.zip", ReadLimits(), tmp_path)
    assert [(member.name, member.error) for member in listing.members] == [
        ("a.txt", None),
        ("mail/b.eml", None),
        ("mail/b.eml/c.txt", None),
    ]
    paths = [member.path for member in listing.members if member.path]
    assert paths[0].read_bytes() == b"Oil it."
    assert paths[2].read_bytes() == b"Lift it."
    assert [member.size_bytes for member in listing.members] == [path.stat().st_size for path in paths]


async def test_the_reading_process_is_not_believed_where_a_member_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    into = tmp_path / "into"
    into.mkdir()
    (into / "000001").symlink_to("/etc/passwd")
    members = "[['a', '../reader', 1, None], ['b', '000001', 1, None], ['c', '000002', 1, None]]"
    as_reader(monkeypatch, tmp_path, f"print(json.dumps(dict(members={members})))")
    listing = await read_archive(b"PK", "a.zip", ReadLimits(), into)
    assert [member.path for member in listing.members] == [None, None, None]
    assert all("reader failed" in str(member.error) for member in listing.members)


async def test_a_pdf_with_some_scanned_pages_is_read_and_names_them() -> None:
    read = await read_document(partly_scanned_pdf(), "a.pdf", ReadLimits())
    assert read.scanned_pages == (2,)
    assert "Oil the pump." in read.text
    read = await read_document(partly_scanned_pdf(), "a.pdf", ReadLimits(), {2: "Words of a picture."})
    assert read.scanned_pages == ()
    assert [read.text[chunk.start : chunk.end] for chunk in read.chunks if chunk.page == 2] == [
        "Words of a picture."
    ]


async def test_a_scan_names_its_pages_and_is_read_once_they_are_recognised() -> None:
    with pytest.raises(ScannedDocument, match="a scan") as error:
        await read_document(scanned_pdf(), "a.pdf", ReadLimits())
    assert error.value.pages == (1,)
    read = await read_document(scanned_pdf(), "a.pdf", ReadLimits(), {1: "Words of a picture."})
    assert read.text.strip() == "Words of a picture."
    with pytest.raises(UnreadableDocument, match="No text was recognised"):
        await read_document(scanned_pdf(), "a.pdf", ReadLimits(), {1: ""})


async def test_pages_are_drawn_in_grey_at_200_dots_an_inch() -> None:
    drawn = [item async for item in render_pages(scanned_pdf(), [1, 7], ReadLimits())]
    ((page, picture),) = drawn
    image = Image.open(BytesIO(picture))
    assert (page, image.mode) == (1, "L")
    assert image.size == (1654, 2339)
    assert image.getpixel((500, 2339 - 500)) == 0
    assert image.getpixel((10, 10)) == 255


async def test_drawing_ends_with_whoever_asks() -> None:
    others = set(children_of(os.getpid()))
    async with aclosing(render_pages(scanned_pdf(), [1] * 1000, ReadLimits())) as pictures:
        async for page, _ in pictures:
            assert page == 1
            break
        assert len(set(children_of(os.getpid())) - others) == 1
    assert set(children_of(os.getpid())) == others


async def test_drawing_says_why_it_fails() -> None:
    with pytest.raises(UnreadableDocument, match="damaged"):
        async for _ in render_pages(b"%PDF-1.7 broken", [1], ReadLimits()):
            pass


async def confined(program: str, *, before: str = "") -> str:
    """Return what a program prints that is run as reading processes are."""
    lines = (
        "import ctypes, os, socket",
        "from parley_rag.load.confinement import confine",
        before,
        "confine(memory_bytes=1 << 30, cpu_s=5, file_bytes=0)",
        program,
    )
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "\n".join(lines)), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(child.communicate(), 60)
    return output.decode().strip()


async def test_the_reading_process_writes_no_files_and_gains_no_rights(tmp_path: Path) -> None:
    program = f"""
try:
    with open({str(tmp_path / "written")!r}, "w") as file:
        file.write("words")
    print("written")
except OSError:
    print("refused", "NoNewPrivs:\\t1" in open("/proc/self/status").read())
"""
    assert await confined(program) == "refused True"


async def test_the_reading_process_starts_no_others() -> None:
    program = """
try:
    os.fork() or os._exit(0)
    print("forked")
except OSError:
    print("refused")
"""
    # The limit does not hold for root.
    assert await confined(program, before="os.getuid() or os.setuid(65534)") == "refused"


async def test_the_reading_process_has_no_way_out() -> None:
    own_network = "libc.unshare(0x10000000 | 0x40000000) and libc.unshare(0x40000000)"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"import ctypes; libc = ctypes.CDLL(None); raise SystemExit({own_network})"
    )
    if await asyncio.wait_for(child.wait(), 60):
        pytest.skip("this system gives processes no network of their own")
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        program = f"""
try:
    socket.create_connection(("127.0.0.1", {port}), 2)
    print("out")
except OSError:
    print("nowhere")
"""
        assert await confined(program) == "nowhere"
