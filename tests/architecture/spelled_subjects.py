"""Subjects are spelled in one module; every other file builds them."""

import ast
import re
from collections.abc import Iterable, Iterator

from parley_contracts import subjects
from parley_contracts.catalogue import CHANNELS

from tests.architecture.source_tree import Source

HOME = "libs/contracts/parley_contracts/subjects.py"


def _fixed(pattern: str) -> str:
    """Return the parts of a subject after the prefix that do not vary."""
    return pattern.removeprefix(f"{subjects.PREFIX}.").split(".*", 1)[0]


# `health.<service>` has one fixed part, which alone is an ordinary word.
STEMS = sorted({_fixed(one.pattern) for one in CHANNELS if "." in _fixed(one.pattern)})
SPELLED = re.compile(
    rf"(^|\.){re.escape(subjects.PREFIX)}(\.|$)|^\.?({'|'.join(map(re.escape, STEMS))})(\.|$)"
)


def _docstrings(tree: ast.AST) -> set[int]:
    """Return the ids of string constants that are statements: text for people."""
    return {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def _literals(source: Source) -> Iterator[tuple[int, str]]:
    prose = _docstrings(source.tree)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


def spelled_subjects(sources: Iterable[Source]) -> list[str]:
    """Return the string literals that are (the beginning of) a subject; text with spaces is prose."""
    return [
        f"{source.at(line)}: {text!r}"
        for source in sources
        # Examples are written as other teams write, who have the documents alone.
        if source.path.as_posix() != HOME and source.folder != "examples"
        for line, text in _literals(source)
        if not re.search(r"\s", text) and SPELLED.search(text)
    ]
