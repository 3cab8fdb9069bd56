"""What the model reads, and what an answer cites."""

import pytest
from parley_contracts.citations import Citation, DocumentRef
from parley_contracts.turns import ChatMessage, Support
from parley_gateway.cited import cited, support
from parley_gateway.prompt import WITHOUT_PASSAGES, assemble, history_chars, passages_chars


def citation(n: int, text: str = "text", page: int | None = None) -> Citation:
    document = DocumentRef(id=f"d{n}", name=f"file{n}.pdf", collection="default")
    return Citation(n=n, text=text, score=1.0, document=document, page=page, start=0, end=len(text))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("No mark at all.", []),
        ("One [2].", [2]),
        ("Two [3] and [1], and [3] again.", [1, 3]),
        ("A list [1, 3].", [1, 3]),
        ("Out of range [9] and [0].", []),
        ("Code a[1] counts, for a reader sees a mark there.", [1]),
        (r"Escaped \[1\] does not, nor \[2].", []),
        ("Code `a[1]` and ``b`[2]`` is no mark, [3] is.", [3]),
        ("```python\nprint(a[1])\n```\nas said [2]\n  ~~~\na[3]", [2]),
        ("A tick ` that is not closed hides nothing [1].\nNor does ``` [2].", [1, 2]),
        ("No [`x`1] either.", []),
        ("Other brackets \u30102\u3011 and \u30103\u2020L4-L9\u3011.", [2, 3]),
        ("A range [1-3].", [1, 2, 3]),
        ("A range with a dash and more [1\u20132, 3].", [1, 2, 3]),
        ("A set of characters [0-9] or [1-9] is no range.", []),
        ("Backwards [3-1].", []),
    ],
)
def test_only_what_the_answer_marks_is_cited(text: str, numbers: list[int]) -> None:
    assert [found.n for found in cited(text, [citation(n) for n in (1, 2, 3)])] == numbers


@pytest.mark.parametrize(
    ("given", "cites", "is_searched", "found"),
    [
        ([1, 2], [2], True, Support.CITED),
        ([1, 2], [], True, Support.UNCITED),
        ([], [], True, Support.NOTHING_FOUND),
        ([], [], False, None),
        # A page that was asked for by its address needs no search.
        ([1], [], False, Support.UNCITED),
    ],
)
def test_an_answer_says_what_it_rests_on(
    given: list[int], cites: list[int], *, is_searched: bool, found: Support | None
) -> None:
    of = [citation(n) for n in given]
    assert support(of, [one for one in of if one.n in cites], is_searched=is_searched) is found


def test_passages_and_history_leave_room_for_the_answer() -> None:
    assert passages_chars(4096, "Why?", ()) + history_chars(4096, "Why?") < 4096 * 3 * 0.76


def test_a_long_question_takes_its_room_from_history_and_passages_and_leaves_them_a_little() -> None:
    window, question = 4096 * 3, "x" * 7000
    history = (ChatMessage(role="user", content="y" * history_chars(4096, question)),)
    room = passages_chars(4096, question, history)
    assert len(question) + len(history[0].content) <= window * 0.75
    assert room == int(window * 0.1)
    assert len(question) + passages_chars(4096, question, ()) <= window * 0.75
    assert passages_chars(4096, "x" * 100_000, ()) == history_chars(4096, "x" * 100_000) == room
    assert history_chars(1, "Why?") == 1


def test_the_prompt_says_where_each_passage_stands() -> None:
    messages = assemble("Why?", (ChatMessage(role="system", content="Be kind."),), [citation(1, page=7)])
    assert [message.role for message in messages] == ["system", "user"]
    assert "[1] (file1.pdf, page 7)" in messages[1].content
    assert messages[1].content.endswith("\nWhy?")
    both = citation(1, page=7).model_copy(update={"end_page": 8})
    assert "[1] (file1.pdf, pages 7-8)" in assemble("Why?", (), [both])[-1].content
    assert "Be kind." in messages[0].content


def test_without_passages_nothing_is_said_of_them() -> None:
    assert "passages" not in assemble("Why?", (), [])[0].content
    assert assemble("Why?", (), [])[-1].content == "Why?"


def test_the_model_is_told_when_nothing_was_found() -> None:
    assert WITHOUT_PASSAGES in assemble("Why?", (), [], is_searched=True)[-1].content
    assert WITHOUT_PASSAGES not in assemble("Why?", (), [])[-1].content
    assert WITHOUT_PASSAGES not in assemble("Why?", (), [citation(1)], is_searched=True)[-1].content


def test_what_the_next_turn_repeats_stands_before_all_that_changes() -> None:
    history = (ChatMessage(role="user", content="One?"), ChatMessage(role="assistant", content="Two."))
    first = assemble("Why?", history, [citation(1, "rain")])
    second = assemble("How?", history, [citation(2, "snow")], is_searched=True)
    assert first[:-1] == second[:-1]
    assert first[-1] != second[-1]
