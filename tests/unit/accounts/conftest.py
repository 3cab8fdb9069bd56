"""Every test of accounts runs over SQLite and over a real PostgreSQL server, in tables that are made once."""

import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import psycopg
import pytest
from parley_accounts.tables import STORE, audit_log, metadata
from sqlalchemy import URL

from tests.tested_databases import store_params
from tests.unit.accounts.accounts_rig import Accounts, open_accounts
from tests.unit.accounts.audit_rig import ANCHORED, ROWS, fill
from tests.unit.accounts.data_rights_rig import ScriptedServices

_TABLES = [audit_log, *(table for table in reversed(metadata.sorted_tables) if table is not audit_log)]
# The audit lets nobody delete what its head does not name.
EMPTY = "; ".join(
    (
        f"UPDATE accounts_audit_head SET removable_seq = {2**62}",
        *(f"DELETE FROM {table.name}" for table in _TABLES),
    )
)


@pytest.fixture(params=store_params())
def url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """The address of a database with empty tables."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("accounts_file")
        shutil.copy(template, tmp_path)
        return STORE.url(None, tmp_path)
    address: str = request.getfixturevalue("accounts_server")
    with psycopg.connect(address, autocommit=True) as server:
        server.execute(EMPTY.encode())
    return STORE.url(address, tmp_path)


@pytest.fixture
async def accounts(url: URL) -> AsyncGenerator[Accounts]:
    """An accounts service over an empty database."""
    async with open_accounts(url) as opened:
        yield opened


@pytest.fixture
async def services(accounts: Accounts) -> ScriptedServices:
    scripted = ScriptedServices(accounts.bus)
    scripted.start()
    return scripted


@pytest.fixture
async def filled(accounts: Accounts) -> Accounts:
    await fill(accounts, ANCHORED)
    await accounts.parts.audit.anchors.anchor()
    await fill(accounts, ROWS - ANCHORED)
    return accounts
