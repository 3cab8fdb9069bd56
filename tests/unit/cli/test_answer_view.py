"""How a growing answer appears on a terminal and in a pipe."""

import io

import pytest
from parley_cli.client.answer import Answer
from parley_cli.client.answer_view import MarkdownView, PlainView, settled_length
from rich.console import Console


def plain(steps: list[str]) -> tuple[str, str]:
    out, remarks = io.StringIO(), io.StringIO()
    answer = Answer("t1")
    with PlainView(Console(file=out), Console(file=remarks)) as view:
        for text in steps:
            answer.text = text
            view.show(answer)
    return out.getvalue(), remarks.getvalue()


def test_a_pipe_gets_every_character_once() -> None:
    assert plain(["Be", "Because", "Because."]) == ("Because.\n", "")


def test_a_truncated_answer_that_goes_on_the_same_is_not_repeated() -> None:
    assert plain(["Because it", "Bec", "Because", "Because it is."]) == ("Because it is.\n", "")


def test_a_truncated_answer_that_goes_on_differently_is_written_anew_and_that_is_said() -> None:
    out, remarks = plain(["Because it", "Bec", "Beca", "Becalm."])
    assert out == "Because it\nBecalm.\n"
    assert "written anew" in remarks


@pytest.mark.parametrize(
    ("text", "settled"),
    [
        ("One par", ""),
        ("One.\n\nTwo", "One.\n\n"),
        ("```\na\n\nb", ""),
        ("One.\n\n```\na\n\nb", "One.\n\n"),
        ("```\na\n\nb\n```\n\nTwo", "```\na\n\nb\n```\n\n"),
    ],
)
def test_only_paragraphs_that_will_not_change_are_settled(text: str, settled: str) -> None:
    assert text[: settled_length(text)] == settled


def test_parts_of_an_answer_are_set_off_by_one_blank_line_whatever_they_are() -> None:
    out = io.StringIO()
    answer = Answer("t1")
    with MarkdownView(Console(file=out, width=60, color_system=None), Console(file=out)) as view:
        for text in (
            "One.\n\n",
            "One.\n\nTwo:\n\n",
            "One.\n\nTwo:\n\n- three\n\n",
            "One.\n\nTwo:\n\n- three\n\nFour.",
        ):
            answer.text = text
            view.show(answer)
    assert [line.rstrip() for line in out.getvalue().strip().splitlines()] == [
        *("One.", "", "Two:", "", " • three", "", "Four.")
    ]


def test_a_terminal_shows_the_whole_answer_as_markdown_in_the_end() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60, color_system=None)
    answer = Answer("t1")
    with MarkdownView(console, console) as view:
        for end in range(0, 45, 5):
            answer.text = "# Head\n\nFirst **bold** part.\n\n- one\n- two"[: end + 5]
            view.show(answer)
    shown = out.getvalue()
    assert "Head" in shown
    assert "**" not in shown.split("First")[-1]
    assert "• two" in shown


def test_an_answer_does_not_steer_the_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60, color_system=None)
    with MarkdownView(console, console) as view:
        view.show(Answer("t1", text="Cleared\x1b[2J and `named\x1b]0;x\x07` and \x9b31mred."))
    shown = out.getvalue()
    assert "Cleared\ufffd[2J" in shown
    assert not any(part in shown for part in ("\x1b]0;", "\x9b", "Cleared\x1b"))


def test_a_pipe_gets_no_markdown_escapes_even_when_one_is_split() -> None:
    assert plain(["a \\", "a \\<turn>", "a \\<turn> \\"]) == ("a <turn> \\\n", "")


def test_a_pipe_gets_one_line_end_after_an_answer_that_breaks_off_between_paragraphs() -> None:
    assert plain(["One.\n", "One.\n\n"]) == ("One.\n", "")
    assert plain(["One.\n\n", "One.\n\nTwo."]) == ("One.\n\nTwo.\n", "")


def test_remarks_go_to_the_error_stream_when_that_is_no_terminal() -> None:
    out, remarks = io.StringIO(), io.StringIO()
    console = Console(file=out, force_terminal=True, width=60, color_system=None)
    with MarkdownView(console, Console(file=remarks)) as view:
        view.remark("Waiting, 2 before you.")
    assert remarks.getvalue() == "Waiting, 2 before you.\n"
    assert "Waiting" not in out.getvalue()
