"""Every ignored finding of a linter or type checker says on its line why."""

import io
import re
import tokenize
from collections.abc import Iterable, Iterator

from tests.architecture.source_tree import Source

ON_A_LINE = re.compile(
    r"#\s*(?:noqa\b(?::\s*[A-Z]+[0-9]+(?:\s*,\s*[A-Z]+[0-9]+)*)?"
    r"|type:\s*ignore(?:\[[^\]]*\])?|pyright:\s*ignore(?:\[[^\]]*\])?)"
)
OF_A_FILE = re.compile(r"#\s*pyright:\s*(?:basic|standard|strict|\w+\s*=\s*\w+)(?:\s*,\s*\w+\s*=\s*\w+)*")
REASON = re.compile(r"[A-Za-z]{3,}")


def _comments(source: Source) -> Iterator[tuple[int, bool, str]]:
    """Return line, whether it stands alone on it, and text of each comment."""
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.line.lstrip().startswith("#"), token.string


def ignores_without_reason(sources: Iterable[Source]) -> list[str]:
    """Return the ignores without words after them; those of a whole file may have them on the next line."""
    return [fault for source in sources for fault in _faults(source)]


def _faults(source: Source) -> Iterator[str]:
    comments = {line: (is_alone, text) for line, is_alone, text in _comments(source)}
    for line, (_, text) in comments.items():
        of_file = OF_A_FILE.match(text)
        found = [of_file] if of_file else list(ON_A_LINE.finditer(text))
        if not found or REASON.search(text[found[-1].end() :]):
            continue
        if of_file and _has_words_next_to_it(comments, line):
            continue
        yield f"{source.at(line)}: {text}"


def _has_words_next_to_it(comments: dict[int, tuple[bool, str]], line: int) -> bool:
    """Return whether the block of comments in which `line` stands holds words of its own."""
    for step in (-1, 1):
        near = line + step
        while near in comments and comments[near][0]:
            if not OF_A_FILE.match(comments[near][1]) and REASON.search(comments[near][1]):
                return True
            near += step
    return False
