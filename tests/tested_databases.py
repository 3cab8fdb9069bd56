"""On which databases tests run: PARLEY_TEST_DATABASE, and where the server of a run's stacks is."""

import os
from enum import StrEnum

import pytest

SETTING = "PARLEY_TEST_DATABASE"
STACKS_SERVER = "PARLEY_TEST_POSTGRESQL_URL"
"""Set while tests run whose stacks keep their tables in that server; unset is SQLite."""


class TestedOn(StrEnum):
    """What tests of stores run on, where PostgreSQL is installed; stacks run on SQLite but for `postgresql`.

    `most` is SQLite for all of them, and PostgreSQL for one case of every second test.
    """

    __test__ = False

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    BOTH = "both"
    MOST = "most"


def tested_on() -> TestedOn:
    """Return what the setting says; ValueError for anything else."""
    return TestedOn(os.environ.get(SETTING) or TestedOn.MOST)


def store_params() -> list[object]:
    """Return the databases that each test of a store runs on."""
    found: dict[TestedOn, object] = {
        TestedOn.SQLITE: pytest.param("sqlite"),
        TestedOn.POSTGRESQL: pytest.param("postgresql", marks=pytest.mark.postgres),
    }
    chosen = tested_on()
    return [param for name, param in found.items() if chosen in (name, TestedOn.BOTH, TestedOn.MOST)]


def drop_repeats(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out all cases of a test on PostgreSQL but the first of every second test, where that is said.

    A test that has nothing to run on SQLite, `server_only`, is left whole.
    """
    if tested_on() is not TestedOn.MOST:
        return
    tried: set[str] = set()
    left_out: list[pytest.Item] = []
    for item in items:
        test = item.nodeid.partition("[")[0]
        if not item.get_closest_marker("postgres") or item.get_closest_marker("server_only"):
            continue
        if test in tried or len(tried) % 2:
            left_out.append(item)
        tried.add(test)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
