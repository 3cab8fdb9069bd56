"""Logging out at the provider as well (OpenID Connect RP-Initiated Logout 1.0), where the setting says so."""

import asyncio

from parley_contracts.oidc import ProviderLogout, ReadProviderLogout
from parley_contracts.policy import Permission
from parley_storage import Database
from sqlalchemy import Connection, select

from parley_accounts.acting import require_actor
from parley_accounts.oidc.addresses import with_query
from parley_accounts.oidc.faults import ProviderAwayError
from parley_accounts.oidc.provider import Provider
from parley_accounts.oidc.provider_settings import OidcSettings
from parley_accounts.tables import oidc_identities, sessions


class ProviderLogouts:
    """Tells where a browser goes after its session here has ended."""

    def __init__(self, database: Database, provider: Provider | None, settings: OidcSettings) -> None:
        self._database = database
        self._provider = provider
        self._settings = settings

    async def read(self, request: ReadProviderLogout) -> ProviderLogout:
        """Return the provider's address for a session of who asks that it has opened, or none."""
        provider, settings = self._provider, self._settings

        def is_its(connection: Connection) -> bool:
            actor = require_actor(connection, request, Permission.ACCOUNT_WRITE)
            query = select(oidc_identities.c.issuer).join(
                sessions, sessions.c.identity_id == oidc_identities.c.id
            )
            own = query.where(sessions.c.id == request.session_id, sessions.c.user_id == actor.id)
            issuer = connection.execute(own).scalar_one_or_none()
            return provider is not None and issuer == provider.issuer

        is_known = await self._database.read(is_its)
        if provider is None or not is_known or not settings.accounts_oidc_ends_provider_session:
            return ProviderLogout(address=None)
        try:
            async with asyncio.timeout(settings.accounts_oidc_timeout_s):
                endpoint = (await provider.metadata()).end_session_endpoint
        except (ProviderAwayError, TimeoutError):
            endpoint = None
        if endpoint is None:
            return ProviderLogout(address=None)
        asked = {"client_id": settings.accounts_oidc_client_id}
        if settings.accounts_oidc_logout_return_url:
            asked["post_logout_redirect_uri"] = settings.accounts_oidc_logout_return_url
        return ProviderLogout(address=with_query(endpoint, asked))
