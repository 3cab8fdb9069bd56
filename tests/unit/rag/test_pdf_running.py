from collections.abc import Sequence

import pytest
from parley_rag.load.loaders import load
from parley_rag.load.pdf_layout import PageText, Spot
from parley_rag.load.pdf_running import without_running_lines

from tests.unit.rag.papers import Placed, pdf, placed_pdf

BODY_TOP, LEADING = 720, 14
HEAD, FOOT = 790, 40
DUTY = [
    "The keeper writes the state of the weather into the book every evening, and signs it with name and",
    "hour. Ships that pass are counted by flag, and the count is sent to the harbour office at the end of",
    "each week.",
]


def body(page: int) -> list[str]:
    """Return lines that no other page has."""
    word = "abcdefghijklmnop"[page]
    return [f"{word} begins.", f"{word} goes on.", f"{word} ends."]


def stripped(pages: list[list[str]]) -> list[tuple[str, ...]]:
    return [page.lines for page in without_running_lines([PageText(tuple(lines)) for lines in pages])]


def test_a_running_line_that_ends_in_another_number_than_the_page_is_dropped() -> None:
    pages = [
        ["The Reference, Release 12.18", f"Words of page {n}, so they are.", str(n)] for n in range(1, 9)
    ]
    assert stripped(pages) == [(f"Words of page {n}, so they are.",) for n in range(1, 9)]


def test_running_lines_whose_words_change_by_chapter_are_dropped() -> None:
    pages = [
        [*body(n), f"Chapter {n // 3}: Title {n}" if n % 2 else f"{n} {n // 3}.4. Another title"]
        for n in range(1, 13)
    ]
    assert stripped(pages) == [tuple(body(n)) for n in range(1, 13)]


def test_words_outside_the_page_number_are_dropped_with_it() -> None:
    names = ["Roots", "Roots", "Leaves", "Leaves", "Stems", "Stems", "Seeds", "Seeds"]
    pages = [[f"On {name}", str(n), *body(n)] for n, name in enumerate(names)]
    assert stripped(pages) == [tuple(body(n)) for n in range(8)]


def test_a_page_that_holds_nothing_but_running_lines_is_empty() -> None:
    pages = [[*body(n), f"Part {n // 4} {n}"] for n in range(1, 9)]
    assert stripped([*pages, ["9 Part 2"]])[-1] == ()


def test_last_lines_that_end_in_some_number_are_kept() -> None:
    pages = [[*body(n), f"It costs {n * n + 40}"] for n in range(1, 9)]
    assert stripped(pages) == [tuple(page) for page in pages]


def text_of(paper: bytes) -> str:
    return load(paper, "manual.pdf")[1].text


def prose(page: int) -> list[str]:
    """Return a paragraph that no other page has, with as many lines as the page's number says."""
    word = "abcdefghijklmnop"[page]
    inner = [
        f"of {word} there is more to be said than this line of it has room for, and so it"
        for _ in range(page)
    ]
    return [
        f"This page is about {word} and about nothing else that anybody would write of here, for",
        *inner,
        f"{word} ends.",
    ]


def sheet(body: Sequence[str], head: Sequence[str] = (), foot: Sequence[str] = ()) -> list[Placed]:
    return [
        *(Placed(HEAD - LEADING * at, line) for at, line in enumerate(head)),
        *(Placed(BODY_TOP - LEADING * at, line) for at, line in enumerate(body)),
        *(Placed(FOOT - LEADING * at, line) for at, line in enumerate(foot)),
    ]


def test_a_paragraph_repeated_below_the_headings_of_pages_keeps_all_its_lines() -> None:
    pages = [
        [f"{name} of the tower", *DUTY, *prose(n)] for n, name in enumerate(("Stairs", "Lamp", "Horn"), 1)
    ]
    assert text_of(pdf([*pages, ["Roof of the tower", *prose(4)]])).split().count("harbour") == 3
    assert text_of(pdf([*pages, ["Roof of the tower", *prose(4)]])).split().count("keeper") == 3


@pytest.mark.parametrize("same_height", [False, True])
def test_a_paragraph_repeated_at_the_end_of_pages_keeps_all_its_lines(same_height: bool) -> None:
    pages = [[f"Part {name}", *prose(3 if same_height else n), *DUTY] for n, name in enumerate("xyz", 1)]
    text = text_of(pdf([*pages, ["Part four", *prose(5)]]))
    assert [text.count(word) for word in ("The keeper", "hour. Ships", "each week.")] == [3, 3, 3]


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_a_paragraph_repeated_at_the_top_of_pages_keeps_all_its_lines(lines: int) -> None:
    duty = [*DUTY[: lines - 1], "each week he writes a letter."]
    pages = [
        [*(Placed(780 - LEADING * at, line) for at, line in enumerate(duty)), *sheet(prose(n))]
        for n in (1, 2, 3)
    ]
    other = [Placed(780 - LEADING * at, line) for at, line in enumerate(prose(5))]
    for paper in (placed_pdf([*pages, other]), placed_pdf([other, *pages]), placed_pdf(pages + pages[:1])):
        text = text_of(paper)
        assert all(text.count(line) >= 3 for line in duty)


def test_a_heading_that_counts_like_the_pages_is_kept() -> None:
    text = text_of(pdf([[f"Day {n}", *prose(n)] for n in range(1, 7)]))
    assert all(f"Day {n}" in text for n in range(1, 7))


def test_a_repeated_paragraph_stays_below_a_running_head_of_two_lines() -> None:
    pages = [sheet([*DUTY, *prose(n)], ["The Manual", "Chapter 3"], [f"Page {n} of 6"]) for n in range(1, 7)]
    text = text_of(placed_pdf(pages))
    assert [text.count(word) for word in ("The keeper", "hour. Ships", "each week.")] == [6, 6, 6]
    assert not any(word in text for word in ("The Manual", "Chapter 3", "Page "))


def test_a_running_head_is_dropped_though_the_first_page_begins_in_its_place() -> None:
    first = [Placed(HEAD - LEADING * at, line) for at, line in enumerate(prose(5))]
    pages = [sheet(prose(n), ["The Manual"]) for n in range(1, 5)]
    text = text_of(placed_pdf([first, *pages]))
    assert "The Manual" not in text
    assert prose(5)[0] in text


def test_heads_of_left_and_of_right_pages_are_dropped_with_their_numbers() -> None:
    heads = [f"{n}   The Manual" if n % 2 == 0 else f"Care of the lamp   {n}" for n in range(1, 9)]
    text = text_of(placed_pdf([sheet(prose(n), [heads[n - 1]]) for n in range(1, 9)]))
    assert "The Manual" not in text
    assert "Care of the lamp" not in text
    plain = [sheet(prose(n), [("The Manual", "Care of the lamp")[n % 2]], [str(n)]) for n in range(1, 9)]
    text = text_of(placed_pdf(plain))
    assert "The Manual" not in text
    assert "Care of the lamp" not in text
    assert not any(line.isdigit() for line in text.split("\n"))


def test_the_head_of_a_chapter_of_one_page_is_dropped_where_the_others_have_theirs() -> None:
    heads = ["The lamp"] * 4 + ["The horn"] + ["The stairs"] * 4
    text = text_of(placed_pdf([sheet(prose(n), [head]) for n, head in enumerate(heads, 1)]))
    assert not any(head in text for head in heads)


def test_heads_and_feet_are_dropped_in_whatever_order_a_page_draws_them() -> None:
    pages = [sheet(prose(n), ["The Manual"], [str(n)])[::-1] for n in range(1, 6)]
    text = text_of(placed_pdf(pages))
    assert "The Manual" not in text
    assert not any(line.isdigit() for line in text.split("\n"))


def test_heads_of_turned_pages_are_dropped() -> None:
    pages = [sheet([f"About {n}.", *DUTY, *prose(n)], ["The Manual"], [str(n)]) for n in range(1, 6)]
    text = text_of(placed_pdf(pages, turned=True))
    assert "The Manual" not in text
    assert text.count("The keeper") == 5


def test_lines_that_repeat_in_pages_of_sideways_text_are_kept() -> None:
    pages = [
        PageText((*"stuvwx", f"Rain {n}.", "Ebb tide"), (Spot(700, 700, 842, 12, "Helvetica"),) * 8)
        for n in range(1, 6)
    ]
    assert without_running_lines(pages) == pages


def test_a_title_in_larger_type_is_kept_where_it_is_the_running_head_too() -> None:
    pages = [sheet(prose(n), ["The Manual"]) for n in range(1, 6)]
    assert (
        text_of(placed_pdf([[Placed(HEAD, "The Manual", 24), *sheet(prose(6))], *pages])).count("The Manual")
        == 1
    )


def test_a_title_that_repeats_is_kept_where_most_pages_have_other_titles() -> None:
    titles = ["Opening hours"] * 3 + ["Rain", "Snow", "Fog", "Wind"]
    text = text_of(placed_pdf([sheet(prose(n), [title]) for n, title in enumerate(titles, 1)]))
    assert text.count("Opening hours") == 3


def test_a_title_that_repeats_is_kept_where_another_page_has_a_sentence() -> None:
    heads = ["Opening hours", "It rains on most days.", "Opening hours", "Opening hours"]
    text = text_of(placed_pdf([sheet(prose(n), [head]) for n, head in enumerate(heads, 1)]))
    assert text.count("Opening hours") == 3


def test_a_title_that_repeats_is_kept_where_other_pages_have_a_paragraph() -> None:
    pages = [sheet(["Opening hours", *prose(n)]) for n in range(1, 4)]
    assert text_of(placed_pdf([*pages, sheet(prose(4))])).count("Opening hours") == 3


def test_last_words_that_repeat_at_different_heights_are_kept() -> None:
    pages = [[*sheet(prose(n)), Placed(500 - 50 * n, "Good night, keeper")] for n in range(1, 6)]
    assert text_of(placed_pdf(pages)).count("Good night, keeper") == 5


def test_a_line_that_repeats_and_runs_on_into_a_name_is_kept() -> None:
    pages = [
        sheet([DUTY[0], f"{name} does too, and so it ends."]) for name in ("Anna", "Berta", "Cora", "Dora")
    ]
    assert text_of(placed_pdf(pages)).count("The keeper") == 4


def test_a_head_is_dropped_above_text_that_goes_on_from_the_page_before() -> None:
    text = text_of(placed_pdf([sheet([f"of {n} more.", *prose(n)], ["The Manual"]) for n in range(1, 6)]))
    assert "The Manual" not in text


def test_a_number_in_the_body_is_kept_beside_page_numbers() -> None:
    pages = [sheet([*prose(n), "1200" if n == 3 else "End."], foot=[str(n)]) for n in range(1, 7)]
    text = text_of(placed_pdf(pages))
    assert [line for line in text.split("\n") if line.strip().isdigit()] == ["1200"]


def test_where_lines_stand_is_not_needed_to_keep_what_reads_on() -> None:
    pages = [["Stairs", *DUTY, "a."], ["Lamp", *DUTY], ["Horn", *DUTY], ["Roof", "So it ends."]]
    assert stripped(pages) == [tuple(page) for page in pages]
