"""Which tests go to the same worker of a parallel run, so that what they share is started once."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import PurePath

import pytest

SHARED_STACK = "running_stack"
"""The fixture by which tests of a folder share one stack; each worker that runs one starts its own."""

STACKS_OF = {"integration": 2}
"""How many workers run the tests of a folder that share a stack; one where nothing is said."""

LONG = ("chaos", "integration", "e2e", "protocol")
SHORT_BETWEEN = 4
"""So many short modules lie between two long ones, that not all workers start processes at a time."""


def group(items: list[pytest.Item]) -> None:
    """Keep each module, and all that share a stack, to one worker, long ones between short ones."""
    modules = _modules_on_stacks(items)
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        folder = _folder(item)
        name = f"{folder}/{item.path.stem}"
        if name in modules:
            name = f"{folder} {modules.index(name) % STACKS_OF.get(folder, 1)}"
        item.add_marker(pytest.mark.xdist_group(name))
        groups.setdefault(name, []).append(item)
    items[:] = chain.from_iterable(_mixed(list(groups.values())))


def _mixed(groups: list[list[pytest.Item]]) -> Iterator[list[pytest.Item]]:
    """Yield a long group, then some short ones, and so on; first those that share a stack."""
    long = deque(sorted((one for one in groups if _folder(one[0]) in LONG), key=_rank))
    short = deque(one for one in groups if _folder(one[0]) not in LONG)
    while long or short:
        if long:
            yield long.popleft()
        for _ in range(min(SHORT_BETWEEN, len(short))):
            yield short.popleft()


def _modules_on_stacks(items: Iterable[pytest.Item]) -> list[str]:
    """Return the modules that use the stack of their folder, each once."""
    found = [f"{_folder(one)}/{one.path.stem}" for one in items if SHARED_STACK in _fixtures(one)]
    return list(dict.fromkeys(found))


def _fixtures(item: pytest.Item) -> list[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else []


def _folder(item: pytest.Item) -> str:
    return PurePath(item.nodeid).parts[1]


def _rank(group: list[pytest.Item]) -> tuple[bool, int]:
    return SHARED_STACK not in _fixtures(group[0]), LONG.index(_folder(group[0]))
