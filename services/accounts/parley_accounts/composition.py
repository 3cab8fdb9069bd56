"""Puts the parts of the accounts service together; the same for the process and for its tests."""

from parley_envelope import DataKeys
from parley_identity.revocation_board import RevocationBoard
from parley_messaging import Bus
from parley_storage import Database
from prometheus_client import CollectorRegistry

from parley_accounts.api_keys import ApiKeys
from parley_accounts.audit_handlers import audit_parts
from parley_accounts.audit_writes import audited
from parley_accounts.bot_handlers import bot_parts
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.data_keys import DataKeyRows
from parley_accounts.data_rights import data_rights_parts
from parley_accounts.entrance import Entrance
from parley_accounts.group_handlers import group_parts
from parley_accounts.handlers import AccountsParts
from parley_accounts.installation import Installation
from parley_accounts.kek_rotation import KekRotations
from parley_accounts.key_ring import KeyRing
from parley_accounts.links import Links
from parley_accounts.metrics import AccountsMetrics
from parley_accounts.notices.composition import OutsideThreads, Telling, notice_parts, telling
from parley_accounts.notices.places import Places
from parley_accounts.oidc.bounded_client import BoundedClient
from parley_accounts.oidc.parts import provider_parts
from parley_accounts.oidc.people import Admission, People
from parley_accounts.outbox import Outbox
from parley_accounts.passwords import Passwords
from parley_accounts.quota_notices import QuotaNotices
from parley_accounts.revocations import Revocations
from parley_accounts.sessions import SessionLimits, Sessions
from parley_accounts.settings import AccountsSettings
from parley_accounts.signing_keys import SigningKeys
from parley_accounts.usage import Usage
from parley_accounts.user_directory import UserDirectory


def session_limits(settings: AccountsSettings) -> SessionLimits:
    """Return how long things last, and how many there are."""
    return SessionLimits(
        access_token_s=settings.accounts_access_token_s,
        refresh_days=settings.accounts_refresh_days,
        session_days=settings.accounts_session_days,
        grace_s=settings.accounts_refresh_grace_s,
        per_user=settings.accounts_sessions_per_user,
    )


def _links(
    settings: AccountsSettings,
    database: Database,
    passwords: Passwords,
    revocations: Revocations,
    *,
    told: Telling,
    clock: Clock,
) -> Links:
    return Links(
        database,
        passwords,
        revocations,
        told=told.notices,
        mails=told.mails,
        password_chars=settings.accounts_password_chars,
        invitation_ms=round(settings.accounts_invitation_hours * 3_600_000),
        reset_ms=round(settings.accounts_reset_minutes * 60_000),
        clock=clock,
    )


def _signing_keys(settings: AccountsSettings, database: Database, ring: KeyRing, clock: Clock) -> SigningKeys:
    return SigningKeys(
        database,
        ring,
        access_token_s=settings.accounts_access_token_s,
        published_ahead_s=settings.accounts_next_key_s,
        clock=clock,
    )


def _sessions(
    settings: AccountsSettings,
    database: Database,
    keys: SigningKeys,
    revocations: Revocations,
    metrics: AccountsMetrics,
    *,
    places: Places,
    clock: Clock,
) -> Sessions:
    limits = session_limits(settings)
    return Sessions(database, keys, revocations, metrics, limits=limits, places=places, clock=clock)


def _users(
    database: Database,
    passwords: Passwords,
    revocations: Revocations,
    password_chars: int,
    *,
    told: Telling,
    clock: Clock,
) -> UserDirectory:
    return UserDirectory(
        database, passwords, revocations, told=told.notices, password_chars=password_chars, clock=clock
    )


def _entrance(
    database: Database,
    passwords: Passwords,
    sessions: Sessions,
    keys: ApiKeys,
    revocations: Revocations,
    *,
    metrics: AccountsMetrics,
    told: Telling,
    chars: int,
    clock: Clock,
) -> Entrance:
    return Entrance(
        database,
        passwords,
        sessions,
        keys=keys,
        revocations=revocations,
        metrics=metrics,
        told=told.notices,
        refused=told.refused,
        password_chars=chars,
        clock=clock,
    )


async def prepared_parts(
    settings: AccountsSettings,
    database: Database,
    passwords: Passwords,
    ring: KeyRing,
    *,
    bus: Bus,
    board: RevocationBoard | None,
    registry: CollectorRegistry,
    owner_key: str | None,
    provider_client: BoundedClient,
    threads: OutsideThreads,
    clock: Clock = unix_ms,
) -> AccountsParts:
    """Return the parts over migrated tables, with what the first start makes."""
    database.wrap_writes(audited)
    chars, access_token_s = settings.accounts_password_chars, settings.accounts_access_token_s
    metrics, told = AccountsMetrics(registry), telling(settings, database, ring, clock)
    revocations = Revocations(database, board, access_token_s=access_token_s, clock=clock)
    await Installation(database, revocations, clock=clock).prepare(owner_key)
    rotations, signing_keys, data_keys = await _prepared_keys(settings, database, ring, clock)
    known = DataKeys(data_keys.tell)
    sessions = _sessions(
        settings, database, signing_keys, revocations, metrics, places=told.places, clock=clock
    )
    people = People(database, sessions, revocations, Admission.of(settings), told=told.notices, clock=clock)
    provider = provider_parts(settings, database, ring, provider_client, people, metrics=metrics, clock=clock)
    keys = ApiKeys(database, revocations, metrics, told=told.notices, clock=clock)
    outbox = Outbox(database, bus, post=revocations.post, sweep_s=settings.accounts_sweep_s)
    links = _links(settings, database, passwords, revocations, told=told, clock=clock)
    entrance = _entrance(
        database, passwords, sessions, keys, revocations, metrics=metrics, told=told, chars=chars, clock=clock
    )
    notices = notice_parts(
        settings, database, ring, told, links, metrics=metrics, bus=bus, threads=threads, wake=outbox.wake
    )
    return AccountsParts(
        entrance=entrance,
        sessions=sessions,
        users=_users(database, passwords, revocations, chars, told=told, clock=clock),
        links=links,
        keys=keys,
        signing_keys=signing_keys,
        revocations=revocations,
        outbox=outbox,
        bots=bot_parts(database, ring, clock),
        rotations=rotations,
        data_keys=data_keys,
        notices=notices,
        provider=provider,
        data_rights=data_rights_parts(
            settings, database, passwords, revocations, bus=bus, keys=known, told=told, clock=clock
        ),
        groups=group_parts(database, revocations, clock),
        usage=Usage(database, QuotaNotices(database, told.notices, wake=outbox.wake), clock=clock),
        audit=await audit_parts(settings, database, ring, bus, clock),
    )


async def _prepared_keys(
    settings: AccountsSettings, database: Database, ring: KeyRing, clock: Clock
) -> tuple[KekRotations, SigningKeys, DataKeyRows]:
    """Return what keeps keys, with the first of each kind made."""
    rotations = KekRotations(database, ring)
    await rotations.prepare()
    signing_keys = _signing_keys(settings, database, ring, clock)
    await signing_keys.prepare()
    data_keys = DataKeyRows(database, ring, clock=clock)
    await data_keys.prepare()
    return rotations, signing_keys, data_keys
