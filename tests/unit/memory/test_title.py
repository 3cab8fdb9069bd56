"""A title is the first words of a question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley_memory.title import MAX_TITLE_CHARS, title_of


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("What is NATS?", "What is NATS?"),
        ("  two\n\tlines  ", "two lines"),
        ("word " * 12 + "beyond", "word " * 11 + "word…"),
        ("a" * 60, "a" * 60),
        ("a" * 61, "a" * 59 + "…"),
        ("b " + "a" * 80, "b…"),
        (" \n ", "Untitled"),
    ],
)
def test_a_title_ends_at_a_word(question: str, title: str) -> None:
    assert title_of(question) == title


@given(st.text())
def test_a_title_is_never_empty_or_long_and_stands_on_one_line(question: str) -> None:
    title = title_of(question)
    assert 1 <= len(title) <= MAX_TITLE_CHARS
    assert len(title.splitlines()) == 1
    assert title == "Untitled" or " ".join(question.split()).startswith(title.removesuffix("…"))
