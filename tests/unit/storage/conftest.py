"""Every test runs over SQLite and over a real PostgreSQL server."""

from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.unit.storage.notes import NOTES


@pytest.fixture
def url(database_url: str | None, tmp_path: Path) -> URL:
    """The address of an empty database."""
    return NOTES.url(database_url, tmp_path)
