"""Builders and parsers of subjects are inverses, and nothing else gets through them."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parley_contracts import subjects

PARSERS: dict[str, Callable[[str], Any]] = {
    name: function
    for name, function in inspect.getmembers(subjects, inspect.isfunction)
    if name.startswith("parse_")
}
BUILT: dict[str, Callable[..., str]] = {
    name: getattr(subjects, name.removeprefix("parse_")) for name in PARSERS
}
FILTERS: dict[str, Callable[[str], str]] = {
    "pen_slots_of": subjects.pen_slots_of,
    "turn_events_of": subjects.turn_events_of,
    "turn_queues_of": subjects.turn_queues_of,
    "tool_calls_of": subjects.tool_calls_of,
}

parts = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
numbers = st.integers(1, 10**9)
not_parts = st.one_of(
    st.sampled_from(["", ".", "*", ">", "a.b", "a b", "a\n", "é", "a" * 129]),
    st.text().filter(lambda text: not set(text) <= set("abcdefghijklmnopqrstuvwxyz")),
).filter(lambda text: not _is_part(text))
some_examples = settings(max_examples=30, deadline=None)
by_parser = pytest.mark.parametrize("name", PARSERS)


def _is_part(text: str) -> bool:
    allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
    return 1 <= len(text) <= 128 and set(text) <= set(allowed)


def arguments_of(builder: Callable[..., str], data: st.DataObject) -> list[Any]:
    return [
        data.draw(numbers if name == "number" else parts) for name in inspect.signature(builder).parameters
    ]


def test_every_builder_has_a_parser() -> None:
    builders = {
        name
        for name, function in inspect.getmembers(subjects, inspect.isfunction)
        if not name.startswith(("_", "parse_")) and function.__module__ == subjects.__name__
    }
    assert builders == {*(name.removeprefix("parse_") for name in PARSERS), *FILTERS}


@by_parser
@some_examples
@given(data=st.data())
def test_a_parser_returns_what_its_builder_was_given(name: str, data: st.DataObject) -> None:
    given_to = arguments_of(BUILT[name], data)
    parsed = PARSERS[name](BUILT[name](*given_to))
    assert parsed == (given_to[0] if len(given_to) == 1 else tuple(given_to))


@by_parser
@some_examples
@given(data=st.data())
def test_a_builder_refuses_what_is_no_part(name: str, data: st.DataObject) -> None:
    given_to = arguments_of(BUILT[name], data)
    texts = [index for index, value in enumerate(given_to) if isinstance(value, str)]
    given_to[data.draw(st.sampled_from(texts))] = data.draw(not_parts)
    with pytest.raises(ValueError, match="not a subject part"):
        BUILT[name](*given_to)


@pytest.mark.parametrize("name", FILTERS)
@some_examples
@given(value=not_parts)
def test_a_filter_refuses_what_is_no_part(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="not a subject part"):
        FILTERS[name](value)


@by_parser
@some_examples
@given(data=st.data())
def test_a_parser_refuses_every_other_subject(name: str, data: st.DataObject) -> None:
    subject = BUILT[name](*arguments_of(BUILT[name], data))
    others = [
        f"{subject}.more",
        subject.rsplit(".", 1)[0],
        f"x{subject}",
        f"{subject.rsplit('.', 1)[0]}.*",
        "",
    ]
    for other in others:
        with pytest.raises(ValueError, match="not a"):
            PARSERS[name](other)


@by_parser
@some_examples
@given(data=st.data())
def test_a_parser_refuses_the_subjects_of_the_others(name: str, data: st.DataObject) -> None:
    other = data.draw(st.sampled_from(sorted(set(PARSERS) - {name})))
    with pytest.raises(ValueError, match="not a"):
        PARSERS[name](BUILT[other](*arguments_of(BUILT[other], data)))


@some_examples
@given(turn_id=parts, number=st.integers(max_value=0))
def test_pen_slots_count_from_one(turn_id: str, number: int) -> None:
    with pytest.raises(ValueError, match="count from 1"):
        subjects.pen_slot(turn_id, number)


@some_examples
@given(turn_id=parts, word=st.sampled_from(["0", "-1", "01", "1_0", "x"]))
def test_what_is_no_pen_slot_is_not_parsed_as_one(turn_id: str, word: str) -> None:
    stem = subjects.pen_slot(turn_id, 1).rsplit(".", 1)[0]
    with pytest.raises(ValueError, match="not a"):
        subjects.parse_pen_slot(f"{stem}.{word}")
