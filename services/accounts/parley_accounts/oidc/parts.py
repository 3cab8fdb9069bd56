"""Puts the parts of logging in by a provider together."""

from dataclasses import dataclass

from parley_storage import Database

from parley_accounts.clock import Clock
from parley_accounts.key_ring import KeyRing
from parley_accounts.metrics import AccountsMetrics
from parley_accounts.oidc.attempts import Attempts
from parley_accounts.oidc.bounded_client import BoundedClient
from parley_accounts.oidc.login import ProviderLogins
from parley_accounts.oidc.logout import ProviderLogouts
from parley_accounts.oidc.people import People
from parley_accounts.oidc.provider import Provider
from parley_accounts.oidc.provider_settings import OidcSettings


@dataclass(frozen=True, slots=True)
class ProviderParts:
    """What answers about logging in by a provider, and out."""

    logins: ProviderLogins
    logouts: ProviderLogouts


def provider_parts(
    settings: OidcSettings,
    database: Database,
    ring: KeyRing,
    client: BoundedClient,
    people: People,
    *,
    metrics: AccountsMetrics,
    clock: Clock,
) -> ProviderParts:
    """Return them; without an issuer in the settings there is no provider, and they say so."""
    issuer = settings.oidc_issuer
    provider = Provider(client, issuer, keep_s=settings.accounts_oidc_cache_s) if issuer else None
    logins = ProviderLogins(
        database,
        provider,
        Attempts(database, ring, lasts_s=settings.accounts_oidc_login_s, clock=clock),
        people,
        settings=settings,
        secret=settings.oidc_secret,
        metrics=metrics,
        clock=clock,
    )
    return ProviderParts(logins, ProviderLogouts(database, provider, settings))
