"""Starts the accounts service: `python -m parley_accounts`."""

from parley_identity import open_claims
from parley_identity.revocation_board import open_board
from parley_messaging import Service, run_service
from parley_storage import migrate, open_database

from parley_accounts.composition import prepared_parts
from parley_accounts.handlers import bind
from parley_accounts.installation import read_owner_key
from parley_accounts.kek_file import read_or_make_key
from parley_accounts.key_ring import KeyRing
from parley_accounts.notices.composition import open_outside_threads
from parley_accounts.oidc.bounded_client import open_bounded_client
from parley_accounts.passwords import open_passwords
from parley_accounts.settings import AccountsSettings
from parley_accounts.sweep import Sweep
from parley_accounts.tables import STORE


async def compose(service: Service, settings: AccountsSettings) -> None:
    """Open the database, make what the first start makes, and answer requests."""
    folder = settings.secrets_path
    if not settings.keks:
        read_or_make_key(folder)
    ring = KeyRing(settings.keks) if settings.keks else KeyRing.in_folder(folder)
    database = await service.enter(
        open_database(
            STORE,
            STORE.url(settings.database_url, settings.data_dir),
            pool_size=settings.accounts_pool_size,
            pool_wait_s=settings.accounts_pool_wait_s,
        )
    )
    await migrate(database, start_wait_s=settings.accounts_start_wait_s)
    service.check("database", database.check)

    passwords = await service.enter(
        open_passwords(
            settings.hash_parameters,
            at_once=settings.accounts_hashes_at_once,
            waiting=settings.accounts_hashes_waiting,
        )
    )
    board = await service.enter(open_board(settings.redis_url, settings.revocations_redis_url))
    provider_client = await service.enter(
        open_bounded_client(settings.accounts_oidc_ca_file, settings.accounts_oidc_timeout_s)
    )
    parts = await prepared_parts(
        settings,
        database,
        passwords,
        ring,
        bus=service.bus,
        board=board,
        registry=service.metrics,
        owner_key=read_owner_key(folder),
        provider_client=provider_client,
        threads=await service.enter(open_outside_threads()),
    )
    bind(service, parts)
    service.spawn(parts.data_rights.runner.run)
    for endless in (parts.outbox.run, *parts.audit.endless, *parts.notices.endless):
        service.spawn(endless)
    grace_s = settings.accounts_refresh_grace_s
    sweep = Sweep(database, parts.revocations, every_s=settings.accounts_sweep_s, grace_s=grace_s)
    service.spawn(sweep.run)


def main() -> None:
    run_service("accounts", AccountsSettings, compose, claims=open_claims)


if __name__ == "__main__":
    main()
