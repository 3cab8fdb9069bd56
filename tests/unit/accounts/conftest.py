"""Every test of accounts runs over SQLite and over a real PostgreSQL server."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from parley_accounts.tables import STORE
from sqlalchemy import URL

from tests.unit.accounts.accounts_rig import Accounts, open_accounts


@pytest.fixture
def url(database_url: str | None, tmp_path: Path) -> URL:
    """The address of an empty database."""
    return STORE.url(database_url, tmp_path)


@pytest.fixture
async def accounts(url: URL) -> AsyncGenerator[Accounts]:
    """An accounts service over an empty database."""
    async with open_accounts(url) as opened:
        yield opened
