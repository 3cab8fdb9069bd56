"""Every store test runs over SQLite and over a real PostgreSQL server."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from uuid import uuid4

import pytest
from parley_memory.database_url import resolve_database_url
from sqlalchemy import URL, create_engine, text

from tests.unit.memory.stored_turns import Memory, open_memory


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[URL]:
    """The address of an empty database."""
    if request.param == "sqlite":
        yield resolve_database_url(None, tmp_path)
        return
    server: str = request.getfixturevalue("postgres_url")
    name = f"parley_test_{uuid4().hex}"
    _on_server(server, f"CREATE DATABASE {name}")
    yield resolve_database_url(server, tmp_path).set(database=name)
    _on_server(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def memory(url: URL) -> AsyncGenerator[Memory]:
    """A memory service over an empty database; nothing publishes unless the test does."""
    async with open_memory(url) as opened:
        yield opened


def _on_server(server: str, statement: str) -> None:
    engine = create_engine(resolve_database_url(server, Path()), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
