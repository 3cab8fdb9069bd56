"""Whether a text is what one generation wrote, each call to the model going on from the last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class WrittenWord:
    """A word that names its author: the number of the call that wrote it, and its place in the answer."""

    call: int
    place: int
    text: str


def authorship_fault(words: Sequence[WrittenWord], prefixes: Mapping[int, str]) -> str | None:
    """Say why words are no one answer; `prefixes` is what each call was given to go on from."""
    if [word.place for word in words] != list(range(len(words))):
        return f"{len(words)} words in disorder"
    written, author = "", 0
    for word in words:
        if word.call != author and prefixes.get(word.call) != written:
            return f"call {word.call} did not go on from the {word.place} words before it"
        author = word.call
        written += word.text
    return None
