"""Answers of hosts whose charset is none."""

import pytest
from parley_browser.http_request import _text  # pyright: ignore[reportPrivateUsage] - what a host may say
from parley_egress import Answer


@pytest.mark.parametrize("charset", ["idna", "undefined", "rot13", "no-such"])
def test_a_charset_that_cannot_be_read_is_no_crash(charset: str) -> None:
    answer = Answer(200, (), b"It rains \xff", is_cut=False)
    assert _text(answer, f"text/plain; charset={charset}").startswith("It rains")
