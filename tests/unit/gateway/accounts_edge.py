"""A gateway's identities beside a real accounts service, on one memory bus."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parley_accounts.kek_file import read_or_make_key
from parley_accounts.key_ring import KeyRing
from parley_accounts.tables import STORE
from parley_contracts.credentials import Revocation
from parley_contracts.errors import ErrorCode, ParleyError
from parley_gateway.identities import Identities
from parley_messaging.memory_bus import MemoryBus

from tests.unit.accounts.accounts_rig import Accounts, open_accounts


class ScriptedBoard:
    """A board in this process; it is away when a test says so."""

    def __init__(self) -> None:
        self.posted: tuple[Revocation, ...] = ()
        self.is_away = False
        self.is_emptied = False

    async def version(self) -> bytes:
        self._check()
        return b"" if self.is_emptied else str(len(self.posted)).encode()

    async def read(self) -> tuple[Revocation, ...]:
        self._check()
        return self.posted

    def _check(self) -> None:
        if self.is_away:
            raise ParleyError(ErrorCode.UNAVAILABLE, "Redis is away.")


@dataclass(frozen=True)
class Entered:
    accounts: Accounts
    identities: Identities
    board: ScriptedBoard


@asynccontextmanager
async def open_identities(
    folder: Path, tables: Path, bus: MemoryBus | None = None, **changed: Any
) -> AsyncGenerator[Entered]:
    """Run a gateway's identities and an accounts service, whose outbox runs too, until the body ends.

    `tables` is a file with the empty tables of accounts; `changed` are settings of it.
    """
    shutil.copy(tables, folder)
    secrets = folder / "secrets"
    read_or_make_key(secrets)
    ring = KeyRing.in_folder(secrets)
    changed = {"accounts_webhook_networks": "127.0.0.0/8", **changed}
    async with open_accounts(STORE.url(None, folder), ring=ring, bus=bus, **changed) as accounts:
        board = ScriptedBoard()
        identities = Identities(accounts.bus, board)
        await identities.start()
        tasks = [asyncio.create_task(run()) for run in (*identities.endless, accounts.parts.outbox.run)]
        try:
            yield Entered(accounts, identities, board)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
