"""Every store test runs over SQLite and over a real PostgreSQL server."""

from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import uuid4

import pytest
from parley_memory.database_url import resolve_database_url
from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.unit.memory.stored_turns import Memory, open_memory


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[URL]:
    """The address of an empty database."""
    if request.param == "sqlite":
        yield resolve_database_url(None, tmp_path)
        return
    server: str = request.getfixturevalue("postgres_url")
    name = f"parley_test_{uuid4().hex}"
    await _on_server(server, f"CREATE DATABASE {name}")
    yield resolve_database_url(server, tmp_path).set(database=name)
    await _on_server(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def memory(url: URL) -> AsyncGenerator[Memory]:
    """A memory service over an empty database; nothing publishes unless the test does."""
    async with open_memory(url) as opened:
        yield opened


async def _on_server(server: str, statement: str) -> None:
    address = resolve_database_url(server, Path())
    engine = create_async_engine(make_url(address), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()
