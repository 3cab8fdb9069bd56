"""Every store test runs over SQLite and over a real PostgreSQL server."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from parley_memory.database_url import resolve_database_url
from sqlalchemy import URL

from tests.postgres import empty_database
from tests.unit.memory.stored_turns import Memory, open_memory


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[URL]:
    """The address of an empty database."""
    if request.param == "sqlite":
        yield resolve_database_url(None, tmp_path)
        return
    with empty_database(request.getfixturevalue("postgres_url")) as empty:
        yield resolve_database_url(empty, tmp_path)


@pytest.fixture
async def memory(url: URL) -> AsyncGenerator[Memory]:
    """A memory service over an empty database; nothing publishes unless the test does."""
    async with open_memory(url) as opened:
        yield opened
