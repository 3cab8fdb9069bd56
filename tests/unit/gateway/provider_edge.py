"""A gateway, a real accounts service and a provider of OpenID Connect, and browsers that log in by it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
from fastapi import FastAPI
from parley_gateway.identity import SECURE_SESSION_COOKIE
from parley_gateway.oidc_api import SECURE_PROOF_COOKIE

from tests.fakes.oidc_provider import OidcProviderFake, running_provider
from tests.plain_http import NO_CERTIFICATES
from tests.unit.accounts.provider_rig import ADA, ProviderLogin, provider_settings
from tests.unit.gateway.accounts_edge import Entered, open_identities
from tests.unit.gateway.http_edge import open_edge
from tests.unit.gateway.whole_edge import app_of

ORIGIN = "https://gateway"
CALLBACK = f"{ORIGIN}/api/auth/oidc/callback"
BEGIN = "/api/auth/oidc"


@dataclass(frozen=True)
class Browser:
    """Somebody's browser: it keeps cookies, and follows what it is told to."""

    client: httpx.AsyncClient

    async def begin(self, next_path: str | None = None, **headers: str) -> httpx.Response:
        params = {} if next_path is None else {"next": next_path}
        return await self.client.get(BEGIN, params=params, headers=headers)

    async def at_provider(self, address: str) -> dict[str, str]:
        """Return what the provider says at the callback to whom it is sent."""
        async with httpx.AsyncClient(verify=NO_CERTIFICATES, trust_env=False) as outside:
            answer = await outside.get(address)
        assert answer.status_code == 302, answer.text
        there = urlsplit(answer.headers["location"])
        assert there._replace(query="").geturl() == CALLBACK
        return dict(parse_qsl(there.query))

    async def come_back(self, said: dict[str, str] | str, **headers: str) -> httpx.Response:
        query = said if isinstance(said, str) else urlencode(said)
        return await self.client.get(f"{CALLBACK}?{query}", headers=headers)

    async def begun(self) -> dict[str, str]:
        """Begin, log in at the provider, and return what it says at the callback."""
        return await self.at_provider((await self.begin()).headers["location"])

    async def log_in(self, next_path: str | None = None) -> httpx.Response:
        begun = await self.begin(next_path)
        return await self.come_back(await self.at_provider(begun.headers["location"]))

    @property
    def has_session(self) -> bool:
        return SECURE_SESSION_COOKIE in self.client.cookies

    @property
    def proof(self) -> str:
        return self.client.cookies[SECURE_PROOF_COOKIE]

    def show(self, proof: str) -> None:
        """Have it send another proof from now on."""
        self.client.cookies.clear()
        # What Python's jar calls a host without dots.
        self.client.cookies.set(SECURE_PROOF_COOKIE, proof, domain="gateway.local")

    async def me(self) -> httpx.Response:
        return await self.client.get("/api/users/me")


@dataclass(frozen=True)
class ProviderEdge:
    """Everything, and new browsers."""

    fake: OidcProviderFake
    entered: Entered
    app: FastAPI

    @property
    def logins(self) -> ProviderLogin:
        return ProviderLogin(self.fake, self.entered.accounts)

    @asynccontextmanager
    async def browser(self, address: str = "127.0.0.1") -> AsyncGenerator[Browser]:
        """Yield a browser with nothing in it."""
        transport = httpx.ASGITransport(self.app, client=(address, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, trust_env=False) as client:
            yield Browser(client)


@asynccontextmanager
async def open_provider_edge(
    folder: Path, tables: Path, fake_changed: dict[str, Any] | None = None, **changed: Any
) -> AsyncGenerator[ProviderEdge]:
    """Run everything until the body ends; `changed` are settings of the provider."""
    async with running_provider(CALLBACK, **(fake_changed or {})) as fake:
        fake.person = dict(ADA)
        settings = provider_settings(fake, **changed)
        async with (
            open_identities(folder, tables, None, **settings) as entered,
            open_edge(entered.accounts.bus, folder, entered.identities, base_url=ORIGIN) as client,
        ):
            yield ProviderEdge(fake, entered, app_of(client))
