"""On which databases tests run: PARLEY_TEST_DATABASE, and where the server of a run's stacks is."""

import os
from enum import StrEnum

import pytest

SETTING = "PARLEY_TEST_DATABASE"
STACKS_SERVER = "PARLEY_TEST_POSTGRESQL_URL"
"""Set while tests run whose stacks keep their tables in that server; unset is SQLite."""


class TestedOn(StrEnum):
    """`both` is what tests of stores run on, where PostgreSQL is installed; stacks then run on SQLite."""

    __test__ = False

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    BOTH = "both"


def tested_on() -> TestedOn:
    """Return what the setting says; ValueError for anything else."""
    return TestedOn(os.environ.get(SETTING) or TestedOn.BOTH)


def store_params() -> list[object]:
    """Return the databases that each test of a store runs on."""
    found: dict[TestedOn, object] = {
        TestedOn.SQLITE: pytest.param("sqlite"),
        TestedOn.POSTGRESQL: pytest.param("postgresql", marks=pytest.mark.postgres),
    }
    chosen = tested_on()
    return [param for name, param in found.items() if chosen in (name, TestedOn.BOTH)]
