from parley_rag.near_duplicates import ShownTexts

PARAGRAPH = (
    "The keeper of the lighthouse trims the wick twice a night, because soot dims the beam. He carries oil"
    " up the stairs in the morning, when the lamp has cooled, and notes the level in a book. In fog he fires"
    " a small brass cannon from the gallery, and in a storm he stays below with the door barred, as the sea"
    " has taken the railing twice. The relief boat comes when the weather allows it."
)
LICENSE = (
    "is free software: you can redistribute it and modify it under the terms of the licence that comes with"
    " it. It is given in the hope that it will be useful, but without any warranty, without even the implied"
    " warranty of merchantability or fitness for a particular purpose."
)


def kept(*texts: str) -> list[int]:
    shown = ShownTexts()
    return [number for number, text in enumerate(texts) if shown.add(text)]


def test_case_and_spacing_do_not_matter() -> None:
    assert kept("Oil the pump every month.", "oil  the pump\nEVERY month.") == [0]


def test_a_copy_with_a_word_or_two_changed_is_not_shown_again() -> None:
    one = PARAGRAPH.replace("small brass", "little brass")
    two = one.replace("comes when", "lands when")
    assert kept(PARAGRAPH, one, two) == [0]


def test_a_copy_that_goes_on_for_a_few_words_is_not_shown_again() -> None:
    assert kept(PARAGRAPH, f"{PARAGRAPH} So they wait.", PARAGRAPH.removeprefix("The keeper ")) == [0]


def test_a_text_that_adds_a_sentence_is_shown() -> None:
    longer = f"{PARAGRAPH} Once it did not come for seven weeks, and he lived on biscuit and rain water."
    assert kept(PARAGRAPH, longer) == [0, 1]
    assert kept(longer, PARAGRAPH) == [0, 1]


def test_short_texts_that_differ_in_a_word_are_both_shown() -> None:
    assert kept("Oil the pump every month.", "Oil the pump every year.", "Yes.", "No.") == [0, 1, 2, 3]


def test_rows_of_a_table_that_differ_in_a_number_are_all_shown() -> None:
    columns = " | ".join(f"column {name}" for name in "abcdefghijklmnopqrstuvwxyz")
    row = f"{columns} | made of brass and oak | stored in the dry cellar below the stairs"
    assert kept(f"{row} | 3.5 V", f"{row} | 3.3 V", f"{row} | 3.5 V") == [0, 1]


def test_the_same_paragraph_about_another_thing_is_a_copy_only_if_it_is_long() -> None:
    assert kept(f"Tinwhistle {LICENSE}", f"Drumkit {LICENSE}") == [0]
    assert kept("Tinwhistle is free software.", "Drumkit is free software.") == [0, 1]


def test_the_same_paragraph_of_another_year_or_version_is_shown() -> None:
    assert kept(f"Tinwhistle 2.1 {LICENSE}", f"Tinwhistle 2.2 {LICENSE}") == [0, 1]


def test_code_that_differs_in_an_operator_only_is_shown_when_it_is_short() -> None:
    assert kept("total = price + tax", "total = price - tax") == [0, 1]


def test_what_was_not_kept_is_not_compared_with() -> None:
    words = PARAGRAPH.split()
    drifting = [" ".join([*words[:at], "mist", *words[at + 1 :]]) for at in range(0, 60, 4)]
    assert kept(PARAGRAPH, *drifting) == [0]


def test_a_text_without_words_is_shown_once() -> None:
    assert kept("", "  ") == [0]
