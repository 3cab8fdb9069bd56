"""Which subjects a service's code names, itself or through the modules of messaging that it imports."""

import ast
import inspect
from collections.abc import Iterable, Iterator

from parley_contracts import subjects

from tests.architecture.source_tree import Source

NOT_SENT = ("parse_",)
ANYTHING = "1"
"""Stands in a subject for what varies."""
# What every service does by being one, and the connection itself.
_ANATOMY = frozenset({"parley_messaging.run", "parley_messaging.service", "parley_messaging.nats_bus"})


def _literal(name: str) -> str | None:
    """Return the subject that a name of the module stands for, with `ANYTHING` in it."""
    found = getattr(subjects, name, None)
    if isinstance(found, str) and found != subjects.PREFIX:
        return found.replace("*", ANYTHING)
    if inspect.isfunction(found) and not name.startswith(NOT_SENT):
        wanted = {one: 1 if one == "number" else ANYTHING for one in inspect.signature(found).parameters}
        return str(found(**wanted)).replace("*", ANYTHING)
    return None


def named_subjects(tree: ast.AST) -> Iterator[str]:
    """Return the subjects that a module names."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="subjects"), attr=name) if found := _literal(name):
                yield found
            case _:
                continue


def _imported(tree: ast.AST) -> set[str]:
    return {
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("parley_messaging.")
    } - _ANATOMY


def _module_name(source: Source) -> str:
    return ".".join(source.path.with_suffix("").parts[2:])


def own_subjects(sources: Iterable[Source], service: str) -> set[str]:
    """Return what the code of a service names itself."""
    return {
        found
        for source in sources
        if source.path.parts[:2] == ("services", service)
        for found in named_subjects(source.tree)
    }


def reachable_subjects(sources: Iterable[Source], service: str) -> set[str]:
    """Return what the code of a service names, and what the modules of messaging that it uses name."""
    tree = list(sources)
    modules = {_module_name(one): one for one in tree if one.path.parts[:2] == ("libs", "messaging")}
    wanted = {
        name for one in tree if one.path.parts[:2] == ("services", service) for name in _imported(one.tree)
    }
    seen: set[str] = set()
    while wanted:
        name = wanted.pop()
        seen.add(name)
        wanted |= _imported(modules[name].tree) - seen
    return own_subjects(tree, service) | {
        found for name in seen for found in named_subjects(modules[name].tree)
    }
