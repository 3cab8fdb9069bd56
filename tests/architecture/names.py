"""Names that say nothing: drawers for modules, suffixes for classes."""

import ast
from collections.abc import Iterable
from pathlib import PurePosixPath

from tests.architecture.source_tree import Source

DRAWERS = frozenset({"utils", "util", "common", "shared", "helpers", "helper", "base", "misc"})
DRAWER_ENDINGS = ("_utils", "_util", "_helpers", "_helper", "_common", "_misc")
EMPTY_ENDINGS = ("Manager", "Helper", "Impl")


def drawers(sources: Iterable[Source]) -> list[str]:
    """Return the modules and packages that are named as drawers."""
    return [f"{source.path}: {word}" for source in sources if (word := _drawer(source.path))]


def _drawer(path: PurePosixPath) -> str | None:
    for word in (*path.parts[1:-1], path.stem):
        if word in DRAWERS or word.endswith(DRAWER_ENDINGS):
            return word
    return None


def empty_class_names(sources: Iterable[Source]) -> list[str]:
    """Return the classes whose name ends in a word without meaning."""
    return [
        f"{source.at(node.lineno)}: {node.name}"
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and node.name.endswith(EMPTY_ENDINGS)
    ]
