"""What is said about an answer that had to do without something."""

import pytest
from parley_cli.client.degraded_words import degraded_words


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ((), ""),
        (("rag",), "For this answer, your documents could not be searched."),
        (("npu",), "For this answer, documents were searched by words only, not by meaning."),
        (
            ("browser", "memory"),
            "For this answer, the web page could not be read;"
            " earlier messages and memories were out of reach.",
        ),
        (("tools",), "For this answer, tools was not available."),
    ],
)
def test_missing_parts_are_named_in_plain_words(parts: tuple[str, ...], sentence: str) -> None:
    assert degraded_words(parts) == sentence
