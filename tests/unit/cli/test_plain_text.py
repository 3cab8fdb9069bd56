"""Markdown that is shown without being rendered."""

from itertools import pairwise

import pytest
from parley_cli.client.plain_text import unescaped, without_open_escape


@pytest.mark.parametrize(
    ("markdown", "plain"),
    [
        (r"data: \<turn>, see \[3\]", "data: <turn>, see [3]"),
        (r"\\n is two characters", r"\n is two characters"),
        (r"C:\temp", r"C:\temp"),
        (r"the pattern `\.` and \<b>", r"the pattern `\.` and <b>"),
        (r"`` a`\. `` \<b>", r"`` a`\. `` <b>"),
        ("```\n\\.\n\n\\.\n```\n\\<b>", "```\n\\.\n\n\\.\n```\n<b>"),
        ("a lone ` here\n\n\\<b>", "a lone ` here\n\n<b>"),
    ],
)
def test_escapes_are_taken_back_except_in_code(markdown: str, plain: str) -> None:
    assert unescaped(markdown) == plain


def test_of_a_growing_text_nothing_that_was_shown_changes() -> None:
    text = "a \\<b> `\\.` ``x`\\.`` lone ` \\*\n\n```\n\\.\n\n~~~\n```\n\\> \\\\ end\\"
    shown = [unescaped(without_open_escape(text[:end])) for end in range(len(text) + 1)]
    assert all(later.startswith(earlier) for earlier, later in pairwise(shown))
