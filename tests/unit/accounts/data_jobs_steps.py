"""What tests of exports and erasures do: ask, work on what is due, and look at what is there."""

import io
import zipfile
from typing import Any

from parley_accounts.tables import data_jobs, metadata
from parley_contracts import subjects
from parley_contracts.accounts import User
from parley_contracts.bots import Bot, BotSettings, CreateBot
from parley_contracts.credentials import CreateKey, KeyCreated
from parley_contracts.data_rights import (
    CreateErasure,
    CreateExport,
    DataJob,
    DataJobList,
    ExportFile,
    ListDataJobs,
    ReadExport,
)
from parley_contracts.provider_keys import ProviderKey, SetProviderKey
from parley_envelope import DataKeys, ExportFiles
from sqlalchemy import select

from tests.unit.accounts.accounts_rig import OWNER, PASSWORD, Accounts, as_user
from tests.unit.accounts.data_rights_rig import ScriptedServices

WAIT_S = 40.0
"""Longer than an erasure settles, or a lease lasts."""


async def ask_erasure(accounts: Accounts, user: User, **fields: Any) -> DataJob:
    proof: dict[str, Any] = {"password": PASSWORD, **fields}
    request = CreateErasure(**as_user(user), **proof)
    return await accounts.ask(subjects.ACCOUNTS_CREATE_ERASURE, request, DataJob)


async def ask_export(accounts: Accounts, user: User) -> DataJob:
    return await accounts.ask(subjects.ACCOUNTS_CREATE_EXPORT, CreateExport(**as_user(user)), DataJob)


async def job_of(accounts: Accounts, user_id: str, at: int = 0) -> DataJob:
    request = ListDataJobs(**OWNER, user_id=user_id)
    return (await accounts.ask(subjects.ACCOUNTS_LIST_DATA_JOBS, request, DataJobList)).jobs[at]


async def work(accounts: Accounts, *, times: int = 60) -> None:
    """Work on what is due, and let time go by, until nothing is left to do."""
    query = select(data_jobs.c.id).where(data_jobs.c.due_at_ms.is_not(None))
    for _ in range(times):
        while await accounts.parts.data_rights.runner.run_due():
            pass
        if not await accounts.database.read(lambda connection: connection.execute(query).all()):
            return
        accounts.clock.advance(WAIT_S)
    raise AssertionError("there is still something to do")


async def rows_of(accounts: Accounts, user_id: str) -> dict[str, int]:
    """Return in which tables a user is named."""
    found: dict[str, int] = {}
    for table in metadata.sorted_tables:
        rows = await accounts.database.read(lambda c, t=table: c.execute(select(t)).all())
        naming = sum(user_id in [str(value) for value in row] for row in rows)
        found |= {table.name: naming} if naming else {}
    return found


async def downloaded(accounts: Accounts, user: User, job: DataJob) -> zipfile.ZipFile:
    request = ReadExport(**as_user(user), job_id=job.id)
    file = await accounts.ask(subjects.ACCOUNTS_READ_EXPORT, request, ExportFile)
    files = ExportFiles(accounts.bus.objects, DataKeys(accounts.parts.data_keys.tell))
    content = await files.open(user.id, job.id)
    assert content.size_bytes == file.size_bytes
    pieces = [piece async for piece in content.span(0, content.size_bytes)]
    return zipfile.ZipFile(io.BytesIO(b"".join(pieces)))


async def fill(accounts: Accounts, services: ScriptedServices, name: str) -> tuple[User, Bot]:
    user = await accounts.user(name)
    services.fill(user.id)
    made = CreateBot(**as_user(user), settings=BotSettings(name="Guide"))
    bot = await accounts.ask(subjects.ACCOUNTS_CREATE_BOT, made, Bot)
    key = SetProviderKey(**as_user(user), bot_id=bot.id, provider="openai", key="sk-0123456789")
    await accounts.ask(subjects.ACCOUNTS_SET_PROVIDER_KEY, key, ProviderKey)
    await accounts.ask(subjects.ACCOUNTS_CREATE_KEY, CreateKey(**as_user(user), name="k"), KeyCreated)
    await accounts.log_in(name)
    return user, bot
