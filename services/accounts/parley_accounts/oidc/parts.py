"""Puts the parts of logging in by a provider together."""

from parley_storage import Database

from parley_accounts.clock import Clock
from parley_accounts.key_ring import KeyRing
from parley_accounts.metrics import AccountsMetrics
from parley_accounts.oidc.attempts import Attempts
from parley_accounts.oidc.bounded_client import BoundedClient
from parley_accounts.oidc.login import ProviderLogins
from parley_accounts.oidc.logout import ProviderLogouts
from parley_accounts.oidc.people import Admission, People
from parley_accounts.oidc.provider import Provider
from parley_accounts.oidc.provider_settings import OidcSettings
from parley_accounts.revocations import Revocations
from parley_accounts.sessions import Sessions


def provider_logins(
    settings: OidcSettings,
    database: Database,
    ring: KeyRing,
    client: BoundedClient,
    sessions: Sessions,
    *,
    revocations: Revocations,
    metrics: AccountsMetrics,
    clock: Clock,
) -> tuple[ProviderLogins, ProviderLogouts]:
    """Return them; without an issuer in the settings there is no provider, and they say so."""
    issuer = settings.oidc_issuer
    provider = Provider(client, issuer, keep_s=settings.accounts_oidc_cache_s) if issuer else None
    logins = ProviderLogins(
        database,
        provider,
        Attempts(database, ring, lasts_s=settings.accounts_oidc_login_s, clock=clock),
        People(database, sessions, revocations, Admission.of(settings), clock=clock),
        settings=settings,
        secret=settings.oidc_secret,
        metrics=metrics,
        clock=clock,
    )
    return logins, ProviderLogouts(database, provider, settings)
