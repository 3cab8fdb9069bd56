"""Which tests go to the same worker of a parallel run, so that what they share is started once."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from itertools import chain
from pathlib import PurePath

import pytest
from xdist.scheduler import LoadScopeScheduling  # pyright: ignore[reportMissingTypeStubs] - it has none

LONG = {"chaos": 1, "integration": 2, "architecture": 1, "e2e": 0, "protocol": 0}
"""Folders of long tests, and how many workers run those that share what their folder starts or reads."""

APART = frozenset(
    {
        "test_accounts_service",
        "test_browser_reads_pages",
        "test_bus_tls",
        "test_cluster",
        "test_limits",
        "test_manuals_are_cited",
        "test_npu_failover",
        "test_overload",
        "test_sweep",
    }
)
"""Modules in those folders that start what they need themselves."""

SHORT_BETWEEN = 4
"""So many short modules lie between two long ones, that not all workers start processes at a time."""


def group_of(nodeid: str) -> str:
    """Return the name of what a test is run together with: its module, or all that share a stack."""
    path = PurePath(nodeid.partition("::")[0])
    folder = path.parts[1]
    shares = LONG.get(folder, 0)
    if not shares or path.stem in APART:
        return str(path)
    return f"{folder} {sum(path.stem.encode()) % shares}"


class GroupScheduling(LoadScopeScheduling):
    """Gives a whole group to a worker."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def mix(items: list[pytest.Item]) -> None:
    """Order the tests: a long group, then some short ones, and so on; first those that share a stack."""
    groups: OrderedDict[str, list[pytest.Item]] = OrderedDict()
    for item in items:
        groups.setdefault(group_of(item.nodeid), []).append(item)
    items[:] = chain.from_iterable(groups[name] for name in _mixed(list(groups)))


def _mixed(names: list[str]) -> Iterator[str]:
    long = deque(sorted((one for one in names if _is_long(one)), key=lambda one: "/" in one))
    short = deque(one for one in names if not _is_long(one))
    while long or short:
        if long:
            yield long.popleft()
        for _ in range(min(SHORT_BETWEEN, len(short))):
            yield short.popleft()


def _is_long(name: str) -> bool:
    return "/" not in name or PurePath(name).parts[1] in LONG
