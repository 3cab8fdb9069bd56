"""Quoting: the cases of the evaluation set, and how a passage falls into units."""

import asyncio

import pytest
from parley_llm.backends.extraction.answer import NOT_SEARCHED, NOTHING_FOUND, WHAT_I_DO, AnswerWriter
from parley_llm.backends.extraction.sentences import split_sentences
from parley_llm.backends.extraction.units import UnitKind, split_units
from parley_llm.backends.extractive import ExtractiveModel

from tests.unit.llm.jobs import job_for, text_of
from tests.unit.llm.quoting_cases import CASES, QuotingCase

FOUND = [case for case in CASES if case.cites is not None]
NOT_FOUND = [case for case in CASES if case.cites is None]


@pytest.mark.parametrize("case", FOUND, ids=lambda case: case.name)
def test_an_answer_quotes_and_cites_the_right_passage(case: QuotingCase):
    answer = AnswerWriter().write(case.question, case.citations())

    if case.leads_with:
        assert answer.startswith(case.leads_with)
    assert f"[{case.cites}]" in answer
    assert [part for part in case.holds if part not in answer] == []
    assert [part for part in case.lacks if part in answer] == []


@pytest.mark.parametrize("case", NOT_FOUND, ids=lambda case: case.name)
def test_nothing_relevant_is_said_plainly_and_cites_nothing(case: QuotingCase):
    assert AnswerWriter().write(case.question, case.citations()) == NOTHING_FOUND


def test_a_greeting_is_told_what_this_model_does():
    assert AnswerWriter().write("Hello there!", ()) == WHAT_I_DO


def test_the_same_passage_twice_is_quoted_once():
    (citation,) = FOUND[-1].citations()[1:2]
    again = citation.model_copy(update={"n": 7})

    answer = AnswerWriter().write(FOUND[-1].question, (citation, again))

    assert f"[{citation.n}]" in answer
    assert "[7]" not in answer


def test_numbers_and_placeholders_of_the_text_cannot_be_taken_for_citations_or_markup():
    case = FOUND[0]
    citation = case.citations()[1].model_copy(
        update={"text": "To delete a package with its configuration files [12], run purge <name> twice."}
    )

    answer = AnswerWriter().write(case.question, (citation,))

    assert answer == (
        "To delete a package with its configuration files \\[12\\], run purge \\<name> twice. [2]"
    )


async def test_cancelling_a_paced_answer_ends_it():
    case = FOUND[0]
    chunks = ExtractiveModel(delta_ms=60_000).generate(
        job_for("extractive", case.question, citations=case.citations())
    )

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await anext(chunks)
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)


@pytest.mark.parametrize(
    ("degraded", "said"), [(("memory", "rag"), NOT_SEARCHED), (("memory",), NOTHING_FOUND)]
)
async def test_documents_that_could_not_be_searched_are_not_called_silent(
    degraded: tuple[str, ...], said: str
):
    job = job_for("extractive").model_copy(update={"degraded": degraded})

    assert text_of([chunk async for chunk in ExtractiveModel().generate(job)]) == said


async def test_what_was_found_is_quoted_though_search_is_named_degraded():
    case = FOUND[0]
    job = job_for("extractive", case.question, citations=case.citations())
    model = ExtractiveModel()
    whole = text_of([chunk async for chunk in model.generate(job)])

    job = job.model_copy(update={"degraded": ("rag",)})

    assert text_of([chunk async for chunk in model.generate(job)]) == whole


async def test_a_prefix_of_another_text_is_followed_by_the_whole_answer():
    case = FOUND[0]
    job = job_for("extractive", case.question, citations=case.citations())
    model = ExtractiveModel()
    whole = text_of([chunk async for chunk in model.generate(job)])

    rest = text_of([chunk async for chunk in model.generate(job, written="Something else.")])

    assert rest == f"\n\n{whole}"


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It costs 3.5 EUR. It is new.", ("It costs 3.5 EUR.", "It is new.")),
        ("See Dr. Weber, cf. No. 5. Then go.", ("See Dr. Weber, cf. No. 5.", "Then go.")),
        ("Use `a. B` here! Why? Because.", ("Use `a. B` here!", "Why?", "Because.")),
        ("Edit the file. dpkg reads it.", ("Edit the file.", "dpkg reads it.")),
        (
            "Use e.g. Debian. It works (see p. 4. and on) well.",
            ("Use e.g. Debian.", "It works (see p. 4. and on) well."),
        ),
    ],
)
def test_sentences_end_where_people_end_them(text: str, sentences: tuple[str, ...]):
    assert split_sentences(text) == sentences


def test_a_passage_falls_into_headings_sentences_items_rows_and_code():
    text = (
        "# Title\n\nFirst line\ngoes on. Second.\n\n- one\n  and more\n- two\n\n"
        "```sh\nls -l\n```\n\n| A | B |\n|---|---|\n| 1 | 2 |\n\nCONTENTS\nChapter one . . . . . . . . 7\n"
    )

    assert [(unit.kind, unit.text) for unit in split_units(text)] == [
        (UnitKind.HEADING, "Title"),
        (UnitKind.SENTENCE, "First line goes on."),
        (UnitKind.SENTENCE, "Second."),
        (UnitKind.ITEM, "one and more"),
        (UnitKind.ITEM, "two"),
        (UnitKind.CODE, "ls -l"),
        (UnitKind.ROW, "A: 1 · B: 2"),
        (UnitKind.HEADING, "CONTENTS"),
    ]


def test_numbered_titles_are_headings_and_wrapped_numbers_are_not():
    text = (
        "1. mixers compared\n\n4.2. I keep getting the error 501\nIt means little. It takes\n"
        "2.5 seconds to pass.\n\n  o one thing\n  o another\n"
    )

    assert [(unit.kind, unit.text) for unit in split_units(text)] == [
        (UnitKind.HEADING, "1. mixers compared"),
        (UnitKind.HEADING, "4.2. I keep getting the error 501"),
        (UnitKind.SENTENCE, "It means little."),
        (UnitKind.SENTENCE, "It takes 2.5 seconds to pass."),
        (UnitKind.ITEM, "one thing"),
        (UnitKind.ITEM, "another"),
    ]


@pytest.mark.parametrize(
    "text", ["", " \n\n", "```", "|||\n|-|\n|", "-\n- \n1.", "....", ":\n:\n", "?", "#", "\x00\x01"]
)
def test_odd_passages_do_no_harm(text: str):
    citation = FOUND[0].citations()[0].model_copy(update={"text": text})

    assert AnswerWriter().write("What about odd passages and codes?", (citation,)) == NOTHING_FOUND
