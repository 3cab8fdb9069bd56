"""What the model reads, and what an answer cites."""

import pytest
from parley_contracts.citations import Citation, DocumentRef
from parley_contracts.turns import ChatMessage
from parley_gateway.cited import cited
from parley_gateway.prompt import assemble, fitted


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
        (r"Escaped \[1\] does not.", []),
    ],
)
def test_only_what_the_answer_marks_is_cited(text: str, numbers: list[int]) -> None:
    assert [found.n for found in cited(text, [citation(n) for n in (1, 2, 3)])] == numbers


def test_passages_are_dropped_from_the_end_when_the_window_is_small() -> None:
    passages = [citation(n, "x" * 500) for n in range(1, 10)]
    assert [found.n for found in fitted(passages, 1000)] == [1, 2]
    assert len(fitted(passages, 100_000)) == 9
    assert len(fitted(passages, 10)) == 1


def test_the_prompt_says_where_each_passage_stands() -> None:
    messages = assemble("Why?", (ChatMessage(role="system", content="Be kind."),), [citation(1, page=7)])
    assert [message.role for message in messages] == ["system", "user"]
    assert "[1] (file1.pdf, page 7)" in messages[0].content
    assert "Be kind." in messages[0].content


def test_without_passages_nothing_is_said_of_them() -> None:
    assert "passages" not in assemble("Why?", (), [])[0].content
