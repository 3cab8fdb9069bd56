"""An accounts service on the memory bus, and people who ask it."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import pytest
from parley_accounts.composition import prepared_parts
from parley_accounts.handlers import AccountsParts, bind
from parley_accounts.key_ring import KeyRing
from parley_accounts.notices.composition import open_outside_threads
from parley_accounts.oidc.bounded_client import open_bounded_client
from parley_accounts.passwords import open_passwords
from parley_accounts.settings import AccountsSettings
from parley_accounts.sweep import Sweep
from parley_accounts.tables import STORE
from parley_contracts import subjects
from parley_contracts.accounts import (
    LOCAL_OWNER,
    CreateUser,
    LogIn,
    LogInWithKey,
    RefreshSession,
    SessionTokens,
    User,
)
from parley_contracts.credentials import (
    AccessClaims,
    AccountsRevoked,
    PublishedKeys,
    ReadPublishedKeys,
    Revocation,
    RevokedKind,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.model import WireModel
from parley_contracts.policy import Role
from parley_identity import AccessTokenVerifier
from parley_messaging import Service
from parley_messaging.bus import Delivery
from parley_messaging.memory_bus import MemoryBus
from parley_storage import Database, migrate, open_database
from prometheus_client import CollectorRegistry
from sqlalchemy import URL

from tests.patience import PATIENCE_S, PatientBus

KEK = bytes(range(32))
OWNER_KEY = "pk_the-key-that-was-made-at-the-first-start"
PASSWORD = "correct horse battery"
OWNER: dict[str, Any] = {"owner_id": LOCAL_OWNER, "role": Role.OWNER}

Reply = TypeVar("Reply", bound=WireModel)


@dataclass
class MovedClock:
    """The real time, moved by a test."""

    ahead_ms: int = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def advance(self, seconds: float) -> None:
        self.ahead_ms += round(seconds * 1000)


class Told(NamedTuple):
    """What somebody hears who is refused."""

    code: ErrorCode
    message: str
    field: str | None


@dataclass(frozen=True)
class Accounts:
    """The service, asked over its bus."""

    bus: MemoryBus
    database: Database
    parts: AccountsParts
    clock: MovedClock
    registry: CollectorRegistry
    sweep: Sweep
    settings: AccountsSettings
    revoked: list[Revocation] = field(default_factory=list[Revocation])

    async def ask(self, subject: str, request: WireModel, reply: type[Reply]) -> Reply:
        return await self.bus.request(subject, request, reply, timeout_s=20)

    async def refusal(self, subject: str, request: WireModel) -> ParleyError:
        with pytest.raises(ParleyError) as told:
            await self.ask(subject, request, WireModel)
        return told.value

    async def told(self, subject: str, request: WireModel) -> Told:
        error = await self.refusal(subject, request)
        return Told(error.code, error.message, error.field)

    async def refusal_code(self, subject: str, request: WireModel) -> ErrorCode:
        return (await self.refusal(subject, request)).code

    async def user(self, name: str, role: Role = Role.MEMBER, **fields: Any) -> User:
        request = CreateUser(**OWNER, name=name, new_role=role, password=PASSWORD, **fields)
        return await self.ask(subjects.ACCOUNTS_CREATE_USER, request, User)

    async def log_in(self, login: str, password: str = PASSWORD, client: str = "") -> SessionTokens:
        request = LogIn(login=login, password=password, client=client)
        return await self.ask(subjects.ACCOUNTS_LOG_IN, request, SessionTokens)

    async def log_in_with_key(self, key: str = OWNER_KEY) -> SessionTokens:
        return await self.ask(subjects.ACCOUNTS_LOG_IN_WITH_KEY, LogInWithKey(key=key), SessionTokens)

    async def refresh(self, token: str) -> SessionTokens:
        request = RefreshSession(refresh_token=token)
        return await self.ask(subjects.ACCOUNTS_REFRESH_SESSION, request, SessionTokens)

    async def refresh_refusal(self, token: str) -> ParleyError:
        return await self.refusal(subjects.ACCOUNTS_REFRESH_SESSION, RefreshSession(refresh_token=token))

    async def published(self) -> PublishedKeys:
        return await self.ask(subjects.ACCOUNTS_PUBLISHED_KEYS, ReadPublishedKeys(), PublishedKeys)

    async def claims(self, tokens: SessionTokens) -> AccessClaims:
        return AccessTokenVerifier(await self.published()).verify(tokens.access_token)

    async def revocations(self) -> list[tuple[RevokedKind, str]]:
        """Return what the bus was told of, in order."""
        await self.parts.outbox.drain()
        await self.parts.audit.outbox.drain()
        # A question behind the events: once it is answered, they have been heard.
        await self.published()
        return [(one.kind, one.revoked_id) for one in self.revoked]


def as_user(user: User, **fields: Any) -> dict[str, Any]:
    """Return the fields by which a user asks."""
    return {"owner_id": user.id, "role": user.role, **fields}


def settings_of(**changed: Any) -> AccountsSettings:
    """Return settings whose password hashes cost nothing."""
    cheap: dict[str, Any] = {"accounts_hash_memory_kib": 8, "accounts_hash_passes": 1}
    return AccountsSettings(**{**cheap, **changed})


@asynccontextmanager
async def open_accounts(
    url: URL,
    *,
    owner_key: str | None = OWNER_KEY,
    kek: bytes = KEK,
    ring: KeyRing | None = None,
    clock: Callable[[], MovedClock] = MovedClock,
    bus: MemoryBus | None = None,
    **changed: Any,
) -> AsyncGenerator[Accounts]:
    """Run a service over a database; several may share one."""
    settings, moved, bus = settings_of(**changed), clock(), bus or PatientBus()
    service = Service("accounts", settings, bus)
    async with (
        open_database(STORE, url, pool_wait_s=PATIENCE_S) as database,
        open_passwords(
            settings.hash_parameters,
            at_once=settings.accounts_hashes_at_once,
            waiting=settings.accounts_hashes_waiting,
        ) as passwords,
        open_bounded_client(None, settings.accounts_oidc_timeout_s) as provider_client,
        open_outside_threads() as threads,
    ):
        await migrate(database)
        parts = await prepared_parts(
            settings,
            database,
            passwords,
            ring or KeyRing([kek]),
            bus=bus,
            board=None,
            registry=service.metrics,
            owner_key=owner_key,
            provider_client=provider_client,
            threads=threads,
            clock=moved,
        )
        bind(service, parts)
        grace_s = settings.accounts_refresh_grace_s
        sweep = Sweep(database, parts.revocations, every_s=3600, grace_s=grace_s, clock=moved)
        accounts = Accounts(bus, database, parts, moved, service.metrics, sweep, settings)

        async def hear(delivery: Delivery) -> None:
            accounts.revoked.append(AccountsRevoked.model_validate_json(delivery.data).revocation)

        await bus.start()
        try:
            await bus.subscribe(subjects.ACCOUNTS_REVOKED, hear)
            yield accounts
        finally:
            await bus.close()
