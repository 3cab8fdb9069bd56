"""Every store test runs over SQLite and over a real PostgreSQL server."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from parley_memory.tables import STORE
from sqlalchemy import URL

from tests.unit.memory.stored_turns import Memory, open_memory


@pytest.fixture
def url(database_url: str | None, tmp_path: Path) -> URL:
    """The address of an empty database."""
    return STORE.url(database_url, tmp_path)


@pytest.fixture
async def memory(url: URL) -> AsyncGenerator[Memory]:
    """A memory service over an empty database; nothing publishes unless the test does."""
    async with open_memory(url) as opened:
        yield opened
