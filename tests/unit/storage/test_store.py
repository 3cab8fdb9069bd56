"""Addresses as people write them become addresses for the drivers in use."""

from pathlib import Path

import pytest

from tests.unit.storage.notes import NOTES


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (None, "sqlite:////data/notes.sqlite"),
        ("", "sqlite:////data/notes.sqlite"),
        ("sqlite:////srv/x.db", "sqlite:////srv/x.db"),
        ("sqlite+aiosqlite:////srv/x.db", "sqlite:////srv/x.db"),
        ("postgresql://u:p@db:5433/parley", "postgresql+psycopg://u:p@db:5433/parley"),
        ("postgres://db/parley", "postgresql+psycopg://db/parley"),
        ("postgresql+psycopg://db/parley", "postgresql+psycopg://db/parley"),
        ("postgresql+asyncpg://db/parley?ssl=require", "postgresql+psycopg://db/parley?sslmode=require"),
        ("postgresql://db/parley?sslmode=require", "postgresql+psycopg://db/parley?sslmode=require"),
    ],
)
def test_an_address_gets_its_driver(given: str | None, used: str) -> None:
    assert NOTES.url(given, Path("/data")).render_as_string(hide_password=False) == used


@pytest.mark.parametrize("given", ["mysql://db/parley", "sqlite://", "sqlite:///:memory:"])
def test_an_address_that_keeps_nothing_or_is_unknown_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="DATABASE_URL"):
        NOTES.url(given, Path("/data"))
