from parley_rag.chunking import ChunkSize, cut
from parley_rag.load.extraction import Extraction
from parley_rag.load.loaders import load
from parley_rag.load.pdf_layout import PageText, Spot, without_line_hyphens

from tests.unit.rag.papers import pdf

LONG = "This line of the manual is so long that it is taken to run on to the next"


def headings_of(extraction: Extraction, words: str) -> tuple[str, ...]:
    return next(b.headings for b in extraction.blocks if words in extraction.text[b.start : b.end])


def paragraphs_of(extraction: Extraction) -> list[str]:
    return [extraction.text[block.start : block.end] for block in extraction.blocks]


def test_numbered_titles_are_headings_of_a_pdf_without_an_outline() -> None:
    _, read = load(
        pdf(
            [
                ["Chapter 3. The Root", "3.1. Purpose", LONG, "one of them.", "3.2. Requirements"],
                [
                    "Nothing may be here.",
                    "3.2.1. /etc : Settings of all the machines and",
                    "(optional)",
                    LONG,
                ],
                ["Chapter 4. Leaves", "4.1. Purpose", "They are green."],
            ]
        ),
        "manual.pdf",
    )
    assert headings_of(read, "one of them") == ("Chapter 3. The Root", "3.1. Purpose")
    assert headings_of(read, "Nothing may") == ("Chapter 3. The Root", "3.2. Requirements")
    assert headings_of(read, LONG) == ("Chapter 3. The Root", "3.1. Purpose")
    assert "3.2.1. /etc : Settings of all the machines and (optional)" in paragraphs_of(read)
    assert headings_of(read, "green") == ("Chapter 4. Leaves", "4.1. Purpose")
    assert "Chapter 4. Leaves > 4.1. Purpose" in {chunk.heading for chunk in cut(read, ChunkSize())} | {
        " > ".join(block.headings) for block in read.blocks
    }


def test_a_numbered_title_is_never_glued_to_the_text_below_it() -> None:
    title = "3.7.2. Requirements that hold for everything below this directory"
    _, read = load(pdf([["Short.", title, "No binaries may be located here.", "Short."]]), "manual.pdf")
    assert title in paragraphs_of(read)
    assert any(text.startswith("No binaries") for text in paragraphs_of(read))


def test_numbers_in_running_text_are_not_headings() -> None:
    lines = ["4.1 Locales", LONG, "1003.1 standard which describes the method to name them", LONG]
    lines += ["2.5 Kilograms are enough for this and for a great many other things as well"]
    lines += ["4.5 kg of it", "4.6 litres of that", "Yes."]
    _, read = load(pdf([lines]), "manual.pdf")
    assert headings_of(read, "Yes.") == ("4.1 Locales",)


def test_the_lines_of_an_outline_title_stay_apart_from_the_text_around() -> None:
    title = ["2.1 Getting started with what was in the box that came"]
    _, read = load(
        pdf(
            [[LONG, "word. And so it ends, with a line that is rather long too,", *title, "So, you read."]],
            outline={"Getting started with what was in the box that came": 1},
        ),
        "manual.pdf",
    )
    assert title[0] in paragraphs_of(read)
    assert headings_of(read, "So, you read") == (title[0][4:],)
    assert headings_of(read, LONG) == ()


def test_lines_joined_at_a_hyphen_stand_from_the_first_to_the_last_of_them() -> None:
    spots = tuple(Spot(depth, depth, 842, 12, "Helvetica") for depth in (50.0, 64.0, 78.0, 92.0))
    page = PageText.of("The man-\r\nual of pre-\r\ncise work\r\n  \r\nends.", (*spots[:3], None, spots[3]))
    (joined,) = without_line_hyphens([page])
    assert joined.lines == ("The manual of precise work", "ends.")
    assert [(spot.first, spot.last) for spot in joined.spots] == [(50, 78), (92, 92)]
