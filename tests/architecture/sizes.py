"""How large modules and functions are, and how deep blocks stand in each other."""

import ast
from collections.abc import Iterable, Iterator

from tests.architecture.source_tree import Source

MODULE_LINES, NOTED_MODULE_LINES = 400, 300
FUNCTION_LINES, NOTED_FUNCTION_LINES = 60, 40
NESTING = 4
MAIN_LINES = 90

NOTED = "large, and allowed"
"""What a test records such a place by."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def _lines(source: Source) -> int:
    return len(source.text.splitlines())


def _functions(source: Source) -> Iterator[Function]:
    return (node for node in ast.walk(source.tree) if isinstance(node, Function))


def long_modules(sources: Iterable[Source], limit: int = MODULE_LINES) -> list[str]:
    """Return the modules of more than `limit` lines."""
    return [f"{one.path}: {_lines(one)} lines" for one in sources if _lines(one) > limit]


def long_mains(sources: Iterable[Source], limit: int = MAIN_LINES) -> list[str]:
    """Return the services' `__main__.py` of more than `limit` lines: they only compose."""
    mains = [one for one in sources if one.folder == "services" and one.path.name == "__main__.py"]
    return long_modules(mains, limit)


def long_functions(sources: Iterable[Source], limit: int = FUNCTION_LINES) -> list[str]:
    """Return the functions of more than `limit` lines."""
    return [
        f"{source.at(function.lineno)}: {function.name} has {length} lines"
        for source in sources
        for function in _functions(source)
        if (length := (function.end_lineno or function.lineno) - function.lineno + 1) > limit
    ]


def deep_functions(sources: Iterable[Source], limit: int = NESTING) -> list[str]:
    """Return the functions in which blocks stand in each other more than `limit` deep."""
    return [
        f"{source.at(function.lineno)}: {function.name} is nested {depth} deep"
        for source in sources
        for function in _functions(source)
        if (depth := max((_depth(one) for one in function.body), default=0)) > limit
    ]


def _depth(node: ast.AST) -> int:
    """Return how deep blocks stand in `node`; an inner function or class counts for itself alone."""
    if isinstance(node, SCOPES):
        return 0
    own = int(isinstance(node, BLOCKS))
    deepest = 0
    for child in ast.iter_child_nodes(node):
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, _depth(child) - int(is_elif))
    return own + deepest
