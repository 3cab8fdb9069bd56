"""The accounts service as a process of its own on a real nats-server, asked as a gateway asks it."""

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from parley_cli.owner_secrets import create_secrets, read_owner_key
from parley_contracts import subjects
from parley_contracts.accounts import (
    LOCAL_OWNER,
    CreateUser,
    EndSessions,
    LogIn,
    LogInWithKey,
    RefreshSession,
    SessionTokens,
    User,
)
from parley_contracts.claims import Acting
from parley_contracts.credentials import (
    AccountsRevoked,
    CheckKey,
    KnownPrincipal,
    PublishedKeys,
    ReadPublishedKeys,
    ReadRevocations,
    RevocationList,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.health import HealthQuestion, ServiceHealth
from parley_contracts.policy import Role
from parley_contracts.replies import Done
from parley_identity import AccessTokenVerifier
from parley_messaging.acting import acting_for
from parley_messaging.bus import Delivery
from parley_messaging.nats_bus import NatsBus

from tests.claims import gateways_desk
from tests.integration.kept_tables import KeptTables, open_tables
from tests.integration.waiting import eventually

pytestmark = pytest.mark.nats

WAIT_S = 60.0
OWNER: dict[str, Any] = {"owner_id": LOCAL_OWNER, "role": Role.OWNER}
PASSWORD = "correct horse battery"


@pytest.fixture
def tables(tmp_path: Path) -> Generator[KeptTables]:
    with open_tables(tmp_path / "data") as opened:
        yield opened


@asynccontextmanager
async def running(
    tables: KeptTables, folder: Path, nats_url: str
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run the service until the body ends; its log is the file `log`."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")},
        "NATS_URL": nats_url,
        "PARLEY_DATA_DIR": str(tables.data_dir),
    }
    environment.pop("DATABASE_URL", None)
    environment |= tables.settings_of("accounts")
    with (folder / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "parley_accounts"), env=environment, cwd=folder, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def asker(nats_url: str, secrets: Path) -> AsyncGenerator[NatsBus]:
    bus = NatsBus(nats_url, name="gateway", grace_s=2, claims=gateways_desk(secrets))
    await bus.connect()
    await bus.start()
    try:
        yield bus
    finally:
        await bus.close()


async def is_ready(bus: NatsBus) -> bool:
    try:
        health = await bus.request(subjects.service_health("accounts"), HealthQuestion(), ServiceHealth)
    except ParleyError:
        return False
    return health.is_ready


async def stopped(process: asyncio.subprocess.Process) -> int:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(WAIT_S):
        return await process.wait()


async def test_a_gateway_verifies_tokens_alone_and_hears_what_is_revoked(
    tmp_path: Path, tables: KeptTables, nats_url: str
) -> None:
    secrets = tmp_path / "data" / "secrets"
    create_secrets(secrets)
    owner_key = read_owner_key(secrets) or ""
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(delivery: Delivery) -> None:
        heard.put_nowait(AccountsRevoked.model_validate_json(delivery.data).revocation.revoked_id)

    async with asker(nats_url, secrets) as bus, running(tables, tmp_path, nats_url) as process:
        await eventually(lambda: is_ready(bus), within_s=WAIT_S)
        await bus.subscribe(subjects.ACCOUNTS_REVOKED, hear)
        by_key = await bus.request(
            subjects.ACCOUNTS_LOG_IN_WITH_KEY, LogInWithKey(key=owner_key), SessionTokens, timeout_s=20
        )
        checked = await bus.request(subjects.ACCOUNTS_CHECK_KEY, CheckKey(key=owner_key), KnownPrincipal)
        assert (by_key.user.id, checked.user_id) == (LOCAL_OWNER, LOCAL_OWNER)

        create = CreateUser(**OWNER, name="ada", new_role=Role.MEMBER, password=PASSWORD)
        with acting_for(Acting(LOCAL_OWNER, Role.OWNER)):
            ada = await bus.request(subjects.ACCOUNTS_CREATE_USER, create, User, timeout_s=20)
        login = LogIn(login="ada", password=PASSWORD)
        tokens = await bus.request(subjects.ACCOUNTS_LOG_IN, login, SessionTokens, timeout_s=20)
        keys = await bus.request(subjects.ACCOUNTS_PUBLISHED_KEYS, ReadPublishedKeys(), PublishedKeys)
        assert AccessTokenVerifier(keys).verify(tokens.access_token).sub == ada.id

        everywhere = EndSessions(owner_id=ada.id, role=ada.role)
        with acting_for(Acting(ada.id, ada.role)):
            await bus.request(subjects.ACCOUNTS_END_SESSIONS, everywhere, Done)
        async with asyncio.timeout(10):
            assert await heard.get() == ada.id
        found = await bus.request(subjects.ACCOUNTS_READ_REVOCATIONS, ReadRevocations(), RevocationList)
        assert [one.revoked_id for one in found.revocations] == [ada.id]
        assert await stopped(process) == 0

    async with asker(nats_url, secrets) as bus, running(tables, tmp_path, nats_url) as process:
        await eventually(lambda: is_ready(bus), within_s=WAIT_S)
        again = RefreshSession(refresh_token=by_key.refresh_token)
        following = await bus.request(subjects.ACCOUNTS_REFRESH_SESSION, again, SessionTokens)
        assert AccessTokenVerifier(keys).verify(following.access_token).sid == by_key.session_id
        ended = RefreshSession(refresh_token=tokens.refresh_token)
        with pytest.raises(ParleyError) as refused:
            await bus.request(subjects.ACCOUNTS_REFRESH_SESSION, ended, SessionTokens)
        assert refused.value.code is ErrorCode.UNAUTHENTICATED
        assert await stopped(process) == 0

    assert stat.S_IMODE((secrets / "kek.key").stat().st_mode) == 0o600
    kek = (secrets / "kek.key").read_text()
    written = tables.written("accounts")
    log = (tmp_path / "log").read_bytes()
    for secret in (owner_key, PASSWORD, kek, tokens.refresh_token, tokens.access_token, by_key.refresh_token):
        assert secret.encode() not in written
        assert secret.encode() not in log
    assert all(json.loads(line)["level"].lower() in {"info", "warning"} for line in log.splitlines())
