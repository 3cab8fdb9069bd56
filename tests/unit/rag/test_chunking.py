from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parley_rag.chunking import Chunk, ChunkSize, cut, estimate_tokens
from parley_rag.load.extraction import Block, BlockKind, Extraction, TextBuilder
from parley_rag.load.plain import load_plain
from parley_rag.load.source_code import load_source_code

SIZE = ChunkSize(target_chars=200, max_tokens=60, merge_below_chars=50, overlap_chars=60)
WORDS = st.text(alphabet="abcdeé日😀 .\n!?'\"A", min_size=1, max_size=400)
KINDS = st.sampled_from([kind for kind in BlockKind if kind is not BlockKind.LISTING])


@st.composite
def extractions(draw: st.DrawFn) -> Extraction:
    builder = TextBuilder()
    for number, (kind, words) in enumerate(draw(st.lists(st.tuples(KINDS, WORDS), max_size=12))):
        if draw(st.booleans()):
            builder.start_page()
        header = words.strip().split("\n")[0]
        builder.add(kind, words, ("Part", f"Section {number // 3}"), header=header)
    built = builder.build("A title")
    return (
        built
        if not built.page_starts
        else Extraction(built.text, built.blocks, None, (0, *built.page_starts))
    )


def covered(text: str, chunks: list[Chunk], blocks: tuple[Block, ...]) -> bool:
    marks = bytearray(len(text))
    for chunk in chunks:
        marks[chunk.start : chunk.end] = b"\x01" * (chunk.end - chunk.start)
    body = [block for block in blocks if block.kind is not BlockKind.HEADING] or blocks
    return all(marks[at] or text[at].isspace() for block in body for at in range(block.start, block.end))


@given(extractions())
@settings(max_examples=150, deadline=None)
def test_passages_are_spans_of_the_text_in_order_that_fit_and_leave_nothing_out(
    extraction: Extraction,
) -> None:
    chunks = cut(extraction, SIZE)
    assert [chunk.start for chunk in chunks] == sorted({chunk.start for chunk in chunks})
    for chunk in chunks:
        text = extraction.text[chunk.start : chunk.end]
        assert text.strip()
        assert len(text) <= SIZE.target_chars
        assert estimate_tokens(text) <= SIZE.max_tokens
    if extraction.text.strip():
        assert covered(extraction.text, chunks, extraction.blocks)
    assert cut(extraction, SIZE) == chunks


def test_a_passage_never_crosses_a_page() -> None:
    builder = TextBuilder()
    for page in range(3):
        builder.start_page()
        builder.add(BlockKind.PARAGRAPH, f"Page {page} has few words.")
    chunks = cut(builder.build(None), ChunkSize())
    assert [chunk.page for chunk in chunks] == [1, 2, 3]


def test_code_and_tables_stay_whole_when_they_fit() -> None:
    builder = TextBuilder()
    builder.add(BlockKind.PARAGRAPH, "Sentence one is here. " * 7)
    code = "\n".join(f"line_{n} = {n}" for n in range(10))
    builder.add(BlockKind.LINES, code)
    extraction = builder.build(None)
    texts = [extraction.text[chunk.start : chunk.end] for chunk in cut(extraction, SIZE)]
    assert any(code in text for text in texts)


def test_long_code_is_cut_between_lines() -> None:
    builder = TextBuilder()
    lines = [f"value_{n} = compute({n})" for n in range(40)]
    builder.add(BlockKind.LINES, "\n".join(lines))
    extraction = builder.build(None)
    for chunk in cut(extraction, SIZE):
        assert set(extraction.text[chunk.start : chunk.end].split("\n")) <= set(lines)


def test_a_long_paragraph_is_cut_at_sentences_and_repeats_the_last_one() -> None:
    text = " ".join(f"Sentence number {n} says e.g. Something." for n in range(20))
    extraction = load_plain(text.encode())
    passages = [extraction.text[chunk.start : chunk.end] for chunk in cut(extraction, SIZE)]
    assert len(passages) > 2
    for before, after in pairwise(passages):
        assert before.endswith("Something.")
        first = after.split(". Sentence")[0]
        assert first.rstrip(".") in before


def test_small_sections_are_joined_under_the_heading_they_share() -> None:
    builder = TextBuilder()
    for name in ("One", "Two"):
        builder.add(BlockKind.HEADING, name, ("Manual", name))
        builder.add(BlockKind.PARAGRAPH, f"{name} is short.", ("Manual", name))
    extraction = builder.build(None)
    (chunk,) = cut(extraction, SIZE)
    assert chunk.heading == "Manual"
    assert extraction.text[chunk.start : chunk.end] == "One\n\nOne is short.\n\nTwo\n\nTwo is short."


def test_joined_sections_start_at_the_first_heading_below_the_shared_one() -> None:
    builder = TextBuilder()
    builder.add(BlockKind.HEADING, "Manual", ("Manual",))
    builder.add(BlockKind.HEADING, "Care", ("Manual", "Care"))
    for path in (("Manual", "Care", "Oil"), ("Manual", "Parts")):
        builder.add(BlockKind.HEADING, path[-1], path)
        builder.add(BlockKind.PARAGRAPH, f"{path[-1]} is short.", path)
    extraction = builder.build(None)
    (chunk,) = cut(extraction, SIZE)
    assert chunk.heading == "Manual"
    assert extraction.text[chunk.start : chunk.end].startswith("Care\n\nOil\n\nOil is short.\n\nParts")


def test_sections_are_not_joined_when_a_heading_would_be_lost() -> None:
    builder = TextBuilder()
    care, parts = ("Manual", "Care", "Oil"), ("Manual", "Parts")
    builder.add(BlockKind.HEADING, "Care", care[:2])
    builder.add(BlockKind.PARAGRAPH, "A long introduction. " * 9, care[:2])
    builder.add(BlockKind.HEADING, "Oil", care)
    builder.add(BlockKind.PARAGRAPH, "Use little.", care)
    builder.add(BlockKind.HEADING, "Parts", parts)
    builder.add(BlockKind.PARAGRAPH, "A lid.", parts)
    headings = [chunk.heading for chunk in cut(builder.build(None), SIZE)]
    assert headings == ["Manual > Care", "Manual > Care > Oil", "Manual > Parts"]


def test_a_passage_never_spans_a_table_of_contents() -> None:
    builder = TextBuilder()
    builder.add(BlockKind.PARAGRAPH, "What comes before.")
    builder.add(BlockKind.LISTING, "1. Topics")
    builder.add(BlockKind.PARAGRAPH, "What comes after.")
    extraction = builder.build(None)
    texts = [extraction.text[chunk.start : chunk.end] for chunk in cut(extraction, SIZE)]
    assert texts == ["What comes before.", "What comes after."]


@pytest.mark.parametrize("gap", ["\n", "\n\n"])
@pytest.mark.parametrize("marks", [("{}. ", "   "), ("- ", "  "), ("({}) ", "    ")])
def test_an_item_of_an_indented_list_stays_whole_when_it_fits(marks: tuple[str, str], gap: str) -> None:
    marker, indent = marks
    items = [
        f"    {marker.format(n)}Step {n} begins on this line\n    {indent}and ends on the next, all of it;"
        for n in range(1, 12)
    ]
    extraction = load_plain(gap.join(items).encode())
    for item in items:
        passages = [extraction.text[chunk.start : chunk.end] for chunk in cut(extraction, SIZE)]
        assert any(item.strip() in passage for passage in passages), item


def test_a_long_item_is_cut_between_the_items_within() -> None:
    inner = [f"   - Inner point {n} begins on this line\n     and ends on the next." for n in range(6)]
    extraction = load_plain(("1. The outer item:\n" + "\n".join(inner) + "\n2. Another.").encode())
    passages = [extraction.text[chunk.start : chunk.end] for chunk in cut(extraction, SIZE)]
    for item in inner:
        assert any(item.strip() in passage for passage in passages), item


def test_an_item_of_several_paragraphs_stays_whole_when_it_fits() -> None:
    items = [
        f"  * Point {n} has a first paragraph.\n\n"
        f"    And it has a second one, much longer than the first, number {n}."
        for n in range(8)
    ]
    extraction = load_plain("\n\n".join(items).encode())
    passages = [extraction.text[chunk.start : chunk.end] for chunk in cut(extraction, SIZE)]
    for item in items:
        assert any(item.strip() in passage for passage in passages), item


def test_a_document_of_headings_only_can_still_be_found() -> None:
    builder = TextBuilder()
    builder.add(BlockKind.HEADING, "Opening hours: nine to five", ("Opening hours: nine to five",))
    assert len(cut(builder.build(None), ChunkSize())) == 1


def table_of(rows: int, header: str = "Part | Price") -> Extraction:
    builder = TextBuilder()
    cells = ([f"Seal {number} of the pump", str(number)] for number in range(rows))
    builder.add_table([header.split(" | "), *cells], ("Parts",))
    return builder.build(None)


def test_rows_stay_whole_and_parts_of_a_table_come_with_its_header() -> None:
    extraction = table_of(40)
    chunks = cut(extraction, SIZE)
    rows = [line for chunk in chunks for line in extraction.text[chunk.start : chunk.end].split("\n")]
    assert rows == extraction.text.strip().split("\n")
    assert [chunk.context for chunk in chunks] == [None] + ["Part | Price"] * (len(chunks) - 1)
    assert len(chunks) > 3
    for chunk in chunks:
        whole = f"{chunk.context or ''} {extraction.text[chunk.start : chunk.end]}"
        assert estimate_tokens(whole) <= SIZE.max_tokens


def test_a_table_that_fits_needs_no_header_again() -> None:
    assert [chunk.context for chunk in cut(table_of(3), SIZE)] == [None]


def test_a_row_that_does_not_fit_is_cut_between_its_cells() -> None:
    builder = TextBuilder()
    builder.add_table([["A", "B"], [f"cell {number} has words" for number in range(30)]])
    extraction = builder.build(None)
    for chunk in cut(extraction, SIZE):
        assert extraction.text[chunk.start :].startswith(("A | B", "cell"))


def test_a_header_as_long_as_the_window_is_shortened() -> None:
    extraction = table_of(20, " | ".join(f"column {number}" for number in range(200)))
    for chunk in cut(extraction, SIZE):
        assert estimate_tokens(chunk.context or "") <= SIZE.max_tokens - 40


CLASS = "class Pump:\n" + "\n".join(
    f"    def step_{number}(self):\n        oil()\n\n        dry({number})\n" for number in range(9)
)


def test_functions_stay_whole_and_parts_of_a_class_come_with_its_name() -> None:
    extraction = load_source_code(f"import os\n\n\n{CLASS}\n\ndef last():\n    pass\n".encode(), "a.py")
    chunks = cut(extraction, SIZE)
    texts = [extraction.text[chunk.start : chunk.end] for chunk in chunks]
    for number in range(9):
        assert any(f"step_{number}" in text and f"dry({number})" in text for text in texts)
    assert texts[0].startswith("import os")
    inside = [chunk.context for chunk, text in zip(chunks, texts, strict=True) if text.startswith("    def")]
    assert inside == ["class Pump:"] * len(inside) != []


def test_headings_are_lines_that_can_be_stored_and_shown() -> None:
    builder = TextBuilder()
    deep = tuple(f"Level {number} " + "x" * 5000 for number in range(500))
    builder.add(BlockKind.PARAGRAPH, "Words.", ("\x00\ud800", "The\nfirst", "\x00\ud800"))
    builder.add(BlockKind.PARAGRAPH, "More words. " * 30, deep, header="\ud800a\x00")
    first, second, third = cut(builder.build(None), SIZE)
    assert first.heading == "The first"
    assert len(second.heading or "") < 5000
    assert "Level 499 x" in (second.heading or "")
    assert third.context == "a"


def test_blank_lines_and_columns_are_no_passages() -> None:
    code = "x" + "\n " * 3000 + "y\n\n" + " " * 3000 + "z"
    for extraction in (load_source_code(code.encode(), "a.py"), load_plain((" " * 3000 + "z").encode())):
        assert all(extraction.text[c.start : c.end].strip() for c in cut(extraction, SIZE))


def test_lists_nested_deeper_and_deeper_are_cut_all_the_same() -> None:
    nested = "".join(f"{' ' * depth}- item {depth}\n" for depth in range(600))
    extraction = load_plain(nested.encode())
    passages = " ".join(extraction.text[chunk.start : chunk.end] for chunk in cut(extraction, SIZE))
    assert all(f"item {depth}" in passages for depth in range(600))


def test_words_of_many_pieces_are_counted_as_such() -> None:
    assert estimate_tokens("\uac00\ub098" * 10) == 40
    assert estimate_tokens("Donaudampfschifffahrtsgesellschaft") > 2 * estimate_tokens("characteristics")


def test_code_indented_deeper_and_deeper_is_cut_all_the_same() -> None:
    stairs = "".join(f"{' ' * depth}step {depth}\n\n" for depth in range(1500))
    extraction = load_source_code(stairs.encode(), "a.py")
    assert len(cut(extraction, SIZE)) > 10
