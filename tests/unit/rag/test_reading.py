import sys
from pathlib import Path

import pytest
from parley_rag.load.extraction import UnreadableDocument
from parley_rag.reading import ReadLimits, read_document


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
    ],
    ids=["comments", "open-comments", "open-tags", "angles", "blank-lines", "blanks"],
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
    reply = "dict(content_type='', title=None, text=repr(os.environ), page_starts=[], chunks=[])"
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
