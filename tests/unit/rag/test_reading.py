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
