"""A provider, and people who log in to accounts by it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from parley_accounts.tables import oidc_identities, sessions
from parley_contracts import subjects
from parley_contracts.accounts import SessionTokens
from parley_contracts.errors import ParleyError
from parley_contracts.oidc import (
    BeginProviderLogin,
    CompleteProviderLogin,
    ProviderLoginBegun,
    ProviderLoginCompleted,
)
from sqlalchemy import URL, func, select

from tests.fakes.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProviderFake, running_provider
from tests.plain_http import NO_CERTIFICATES
from tests.unit.accounts.accounts_rig import Accounts, open_accounts

REDIRECT_URL = "https://chat.example.org/api/auth/oidc/callback"
ADDRESS = "ada@example.org"
ADA: dict[str, Any] = {
    "sub": "ada-1",
    "email": ADDRESS,
    "email_verified": True,
    "preferred_username": "ada",
    "name": "Ada L.",
}


def provider_settings(fake: OidcProviderFake, **changed: Any) -> dict[str, Any]:
    """Return the settings of accounts that name a provider; `changed` without the prefix of all."""
    named = {
        "issuer": fake.url,
        "client_id": CLIENT_ID,
        "client_secret": fake.client_secret and CLIENT_SECRET,
        "redirect_url": next(iter(fake.redirect_urls)),
        "strangers": "welcome",
        **changed,
    }
    return {f"accounts_oidc_{name}": value for name, value in named.items()}


@dataclass(frozen=True)
class ProviderLogin:
    """Accounts and a provider that it takes people from."""

    fake: OidcProviderFake
    accounts: Accounts

    async def begin(self, return_to: str = "/") -> ProviderLoginBegun:
        request = BeginProviderLogin(return_to=return_to)
        return await self.accounts.ask(subjects.ACCOUNTS_BEGIN_PROVIDER_LOGIN, request, ProviderLoginBegun)

    async def answered(self, begun: ProviderLoginBegun) -> dict[str, str]:
        """Return what the provider says to whom it sends back."""
        async with httpx.AsyncClient(verify=NO_CERTIFICATES, trust_env=False) as browser:
            sent_back = await browser.get(begun.address)
        assert sent_back.status_code == 302, sent_back.text
        return dict(parse_qsl(urlsplit(sent_back.headers["location"]).query))

    async def request(self, **changed: Any) -> CompleteProviderLogin:
        """Return the request of somebody whom the provider has sent back."""
        begun = await self.begin()
        said = await self.answered(begun)
        fields: dict[str, Any] = {
            "proof": begun.proof,
            "state": said["state"],
            "code": said.get("code"),
            "issuer": said.get("iss"),
            "error": said.get("error"),
        }
        return CompleteProviderLogin.model_validate({**fields, **changed})

    async def complete(self, request: CompleteProviderLogin) -> ProviderLoginCompleted:
        return await self.accounts.ask(
            subjects.ACCOUNTS_COMPLETE_PROVIDER_LOGIN, request, ProviderLoginCompleted
        )

    async def log_in(self, **person: Any) -> SessionTokens:
        """Log in as somebody whom the provider knows."""
        self.fake.person = {**ADA, **person}
        return (await self.complete(await self.request())).tokens

    async def refusal(self, **person: Any) -> ParleyError:
        """Return how somebody is refused whom the provider knows."""
        self.fake.person = {**ADA, **person}
        return await self.accounts.refusal(subjects.ACCOUNTS_COMPLETE_PROVIDER_LOGIN, await self.request())

    async def count(self) -> tuple[int, int]:
        """Return how many sessions and identities there are."""
        queries = [select(func.count()).select_from(table) for table in (sessions, oidc_identities)]
        read = self.accounts.database.read
        found = await read(lambda connection: [connection.execute(one).scalar_one() for one in queries])
        return found[0], found[1]

    def counted(self, result: str) -> float:
        """Return how many logins had a result, by the metrics."""
        name = "parley_accounts_provider_logins_total"
        return self.accounts.registry.get_sample_value(name, {"result": result}) or 0.0


@asynccontextmanager
async def open_provider_login(
    url: URL, fake_changed: dict[str, Any] | None = None, **changed: Any
) -> AsyncGenerator[ProviderLogin]:
    """Run a provider and an accounts service that takes people from it."""
    async with (
        running_provider(REDIRECT_URL, **(fake_changed or {})) as fake,
        open_accounts(url, **provider_settings(fake, **changed)) as accounts,
    ):
        yield ProviderLogin(fake, accounts)
