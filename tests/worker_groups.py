"""Which tests go to the same worker of a parallel run, so that what they share is started once."""

from collections.abc import Iterable
from pathlib import PurePath

import pytest

SHARED_STACK = "running_stack"
"""The fixture by which tests of a folder share one stack; each worker that runs one starts its own."""

STACKS_OF = {"integration": 2}
"""How many workers run the tests of a folder that share a stack; one where nothing is said."""

LONGEST_FIRST = ("integration", "chaos", "e2e", "protocol")


def group(items: list[pytest.Item]) -> None:
    """Keep each module, and all that share a stack, to one worker; begin with what takes longest."""
    modules = _modules_on_stacks(items)
    for item in items:
        folder, module = _folder(item), item.path.stem
        name = f"{folder}/{module}"
        if name in modules:
            name = f"{folder} {modules.index(name) % STACKS_OF.get(folder, 1)}"
        item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=_rank)


def _modules_on_stacks(items: Iterable[pytest.Item]) -> list[str]:
    """Return the modules that use the stack of their folder, each once."""
    found = [f"{_folder(one)}/{one.path.stem}" for one in items if SHARED_STACK in _fixtures(one)]
    return list(dict.fromkeys(found))


def _fixtures(item: pytest.Item) -> list[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else []


def _folder(item: pytest.Item) -> str:
    return PurePath(item.nodeid).parts[1]


def _rank(item: pytest.Item) -> int:
    folder = _folder(item)
    return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)
