"""Tables of contents are kept in the text and never searched."""

import pytest
from parley_rag.chunking import ChunkSize, cut
from parley_rag.load.extraction import BlockKind, Extraction
from parley_rag.load.loaders import load

from tests.unit.rag.papers import pdf

TOPICS = ("Pumps", "Care and repair", "Spare parts", "Where to ask")
BODY = "".join(f"{n}. {topic}\n\nWhat is to be said on it, {topic}.\n\n" for n, topic in enumerate(TOPICS, 1))


def listings(read: Extraction) -> list[str]:
    return [read.text[b.start : b.end] for b in read.blocks if b.kind is BlockKind.LISTING]


def passages(read: Extraction) -> list[str]:
    return [read.text[chunk.start : chunk.end] for chunk in cut(read, ChunkSize())]


@pytest.mark.parametrize(
    "contents",
    [
        "".join(f"{n}. {topic}\n" for n, topic in enumerate(TOPICS, 1)),
        "".join(f"{n}. {topic}\n\n" for n, topic in enumerate(TOPICS, 1)),
        "".join(f"* {n}. {topic}\n\n" for n, topic in enumerate(TOPICS, 1)),
        "".join(f"{n} {topic} {'.' * 30} {n * 7}\n" for n, topic in enumerate(TOPICS, 1)),
        "Table of Contents\n\n" + "".join(f"   {n}. {topic}\n" for n, topic in enumerate(TOPICS, 1)),
    ],
)
def test_contents_of_plain_text_are_not_searched(contents: str) -> None:
    _, read = load(f"The manual\n\n{contents}\n{BODY}".encode(), "manual.txt")
    assert listings(read) == [contents.strip()] or listings(read) == [contents.rstrip()]
    found = passages(read)
    assert not any(contents.strip() in passage for passage in found)
    assert all(any(f"What is to be said on it, {topic}." in passage for passage in found) for topic in TOPICS)


def test_a_title_of_two_lines_belongs_to_the_contents() -> None:
    contents = "1. Pumps\n2. Care and repair of what has\n   been in use for long\n3. Spare parts"
    _, read = load(f"Table of Contents\n\n{contents}\n\nThe text begins.".encode(), "manual.txt")
    assert listings(read) == [f"Table of Contents\n\n{contents}"]


def test_the_contents_of_a_box_are_searched() -> None:
    parts = "1. Two bolts\n2. One lid\n3. This manual"
    _, read = load(f"Contents\n\n{parts}\n\nCount them.".encode(), "box.txt")
    assert listings(read) == []


def test_long_lines_of_dots_are_read_quickly() -> None:
    _, read = load(b"1. x" + b" ." * 200_000 + b" x", "dots.txt")
    assert listings(read) == []


def test_numbered_steps_are_searched() -> None:
    steps = "1. Open the lid\n2. Pour the water in\n3. Close the lid\n4. Press the button"
    _, read = load(f"To make tea:\n\n{steps}\n\nThen wait.".encode(), "tea.txt")
    assert listings(read) == []
    assert any(steps in passage for passage in passages(read))


def test_numbered_conditions_that_stand_twice_are_searched() -> None:
    terms = "1. keep the notice that\n   stands above;\n2. say what was changed;\n3. give it\n   to all."
    _, read = load(f"You may:\n\n{terms}\n\nOnce more:\n\n{terms}\n".encode(), "licence.txt")
    assert listings(read) == []


@pytest.mark.parametrize(
    "contents",
    [
        "<div class=toc><p>Table of Contents</p><dl><dt><a href=m.html#a>Pumps</a><dt>"
        "<a href=m.html#b>Care</a></dl></div>",
        "<ul><li><a href=#a>Pumps</a><li><a href=#b>Care</a><li><a href=#c>Parts</a>"
        "<li><a href=#d>Help</a></ul>",
        "<div class=navheader><table><tr><th>Chapter 8. Pumps<tr><td><a href=p>Prev</a>"
        "<td>Care</table></div>",
    ],
)
def test_contents_and_page_turners_of_html_are_not_searched(contents: str) -> None:
    page = f"<html><body><h1>Manual</h1>{contents}<p>A pump moves water.</p></body></html>"
    _, read = load(page.encode(), "m.html")
    assert len(listings(read)) == 1
    assert "Care" in listings(read)[0]
    assert passages(read) == ["A pump moves water."]


def test_a_list_with_links_among_its_words_is_searched() -> None:
    items = "".join(f"<li>Read <a href=#{n}>part {n}</a> before you oil the pump." for n in range(6))
    _, read = load(f"<html><body><ul>{items}</ul></body></html>".encode(), "m.html")
    assert listings(read) == []


def test_the_last_lines_of_contents_on_a_page_of_their_own_are_not_searched() -> None:
    contents = [f"{n} Topic {n} {'. ' * 20}{n}" for n in range(1, 12)]
    rest = ["12 Topic 12 . . . . . . . . . . . 12"]
    _, read = load(pdf([contents, rest, ["Topic 4 is about valves."]]), "manual.pdf")
    assert len(listings(read)) == 2
