"""Logging in by a provider: the authorization code flow with PKCE (OpenID Connect Core, RFC 7636)."""

import asyncio
import base64
import logging
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote_plus

from parley_contracts.accounts import SessionTokens
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.oidc import (
    BeginProviderLogin,
    CompleteProviderLogin,
    LoginProvider,
    ProviderLoginBegun,
    ProviderLoginCompleted,
    ReadLoginProvider,
)
from parley_storage import Database

from parley_accounts.clock import Clock
from parley_accounts.metrics import AccountsMetrics
from parley_accounts.oidc.addresses import with_query
from parley_accounts.oidc.attempts import Attempt, Attempts
from parley_accounts.oidc.faults import LoginFault, ProviderAwayError, RefusedLoginError
from parley_accounts.oidc.id_token import Expected, IdTokenClaims, read_id_token
from parley_accounts.oidc.people import OvertakenError, People
from parley_accounts.oidc.proven import Proven, read_proven
from parley_accounts.oidc.provider import Metadata, Provider
from parley_accounts.oidc.provider_settings import OidcSettings

log = logging.getLogger("parley.accounts")

_CODE_FAULT = re.compile(r"[a-z_]{1,40}")
_TRIES = 3
"""How often a first login is begun again that another one has overtaken."""
_SERVER_FAULT = 500


class ProviderLogins:
    """Sends browsers to the provider and takes them back; whoever does not come in hears the same."""

    def __init__(
        self,
        database: Database,
        provider: Provider | None,
        attempts: Attempts,
        people: People,
        *,
        settings: OidcSettings,
        secret: str | None,
        metrics: AccountsMetrics,
        clock: Clock,
    ) -> None:
        self._database = database
        self._provider = provider
        self._attempts = attempts
        self._people = people
        self._settings = settings
        self._secret = secret
        self._metrics = metrics
        self._clock = clock
        self._exchanges = asyncio.Semaphore(settings.accounts_oidc_exchanges)

    async def describe(self, _: ReadLoginProvider) -> LoginProvider:
        """Return what the log-in page offers."""
        return LoginProvider(label=None if self._provider is None else self._settings.accounts_oidc_label)

    async def begin(self, request: BeginProviderLogin) -> ProviderLoginBegun:
        """Return where a browser goes, and what it keeps; `unavailable` when the provider does not answer."""
        provider = self._require_provider()
        async with self._provider_time():
            metadata = await provider.metadata()
        attempt, proof = await self._attempts.begin(request.return_to)
        asked = {
            "response_type": "code",
            "client_id": self._settings.accounts_oidc_client_id,
            "redirect_uri": self._settings.accounts_oidc_redirect_url,
            "scope": " ".join(self._settings.accounts_oidc_scopes.split()),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return ProviderLoginBegun(
            address=with_query(metadata.authorization_endpoint, asked),
            proof=proof,
            lasts_s=self._settings.accounts_oidc_login_s,
        )

    async def complete(self, request: CompleteProviderLogin) -> ProviderLoginCompleted:
        """Open a session for whom the provider has sent back; `unauthenticated` when there is none."""
        provider = self._require_provider()
        try:
            completed = await self._complete(provider, request)
        except RefusedLoginError as error:
            self._metrics.count_provider_login(error.fault)
            log.info("a login by the provider was refused", extra={"fault": error.fault})
            raise
        except ProviderAwayError as error:
            self._metrics.count_provider_login("away")
            log.warning("a login could not be asked about", extra={"why": error.why})
            raise
        self._metrics.count_provider_login("let_in")
        return completed

    async def _complete(self, provider: Provider, request: CompleteProviderLogin) -> ProviderLoginCompleted:
        attempt = self._attempts.read(request.proof, request.state)
        if self._exchanges.locked():
            raise ParleyError(ErrorCode.OVERLOADED, "Too many people are logging in; try again.")
        async with self._exchanges:
            await self._attempts.use(attempt)
            async with self._provider_time():
                proven = await self._prove(provider, request, attempt)
            tokens = await self._enter(proven, request)
        return ProviderLoginCompleted(tokens=tokens, return_to=attempt.return_to)

    async def _prove(self, provider: Provider, request: CompleteProviderLogin, attempt: Attempt) -> Proven:
        metadata = await provider.metadata()
        if request.issuer is None:
            is_from_provider = not metadata.authorization_response_iss_parameter_supported
        else:
            is_from_provider = request.issuer == provider.issuer
        if not is_from_provider:
            raise RefusedLoginError(LoginFault.OTHER_PROVIDER)
        if request.error is not None:
            raise RefusedLoginError(LoginFault.DENIED)
        if not request.code:
            raise RefusedLoginError(LoginFault.NO_CODE)
        id_token, access_token = await self._exchange(provider, metadata, request.code, attempt)
        expected = Expected(
            client_id=self._settings.accounts_oidc_client_id,
            nonce=attempt.nonce,
            access_token=access_token,
            begun_at_s=attempt.begun_at_ms / 1000,
            now_s=self._clock() / 1000,
        )
        claims = await read_id_token(provider, id_token, expected)
        told = await self._user_info(provider, metadata, claims, access_token)
        # What is signed counts before what is only sent.
        known = {**told, **(claims.model_extra or {})}
        return read_proven(claims.iss, claims.sub, known, self._settings.accounts_oidc_role_claim)

    async def _exchange(
        self, provider: Provider, metadata: Metadata, code: str, attempt: Attempt
    ) -> tuple[str, str | None]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._settings.accounts_oidc_redirect_url,
            "code_verifier": attempt.verifier,
        }
        basic = self._authenticate(metadata, form)
        answer = await provider.client.post(metadata.token_endpoint, form, basic=basic)
        if answer.status >= _SERVER_FAULT:
            raise ProviderAwayError(f"its token endpoint answers {answer.status}")
        if not answer.is_good:
            fault = str(answer.body.get("error", ""))
            if fault in {"invalid_client", "unauthorized_client"}:
                raise ProviderAwayError(f"it does not take our client: {fault}")
            if _CODE_FAULT.fullmatch(fault):
                log.info("the provider refuses a code", extra={"fault": fault})
            raise RefusedLoginError(LoginFault.BAD_CODE)
        return _tokens(answer.body)

    def _authenticate(self, metadata: Metadata, form: dict[str, str]) -> str | None:
        """Return by which header the client proves itself, or put its proof into the form."""
        client_id, offered = (
            self._settings.accounts_oidc_client_id,
            metadata.token_endpoint_auth_methods_supported,
        )
        if self._secret is None:
            form["client_id"] = client_id
            return None
        if "client_secret_basic" in offered:
            pair = f"{quote_plus(client_id)}:{quote_plus(self._secret)}"
            return base64.b64encode(pair.encode()).decode()
        if "client_secret_post" not in offered:
            raise ProviderAwayError("it takes neither client_secret_basic nor client_secret_post")
        form |= {"client_id": client_id, "client_secret": self._secret}
        return None

    async def _user_info(
        self, provider: Provider, metadata: Metadata, claims: IdTokenClaims, access_token: str | None
    ) -> Mapping[str, Any]:
        url = metadata.userinfo_endpoint
        if not self._settings.accounts_oidc_asks_userinfo or url is None or access_token is None:
            return {}
        answer = await provider.client.get(url, bearer=access_token)
        if answer.status >= _SERVER_FAULT:
            raise ProviderAwayError(f"its userinfo endpoint answers {answer.status}")
        if not answer.is_good or answer.body.get("sub") != claims.sub:
            raise RefusedLoginError(LoginFault.USER_INFO)
        return answer.body

    async def _enter(self, proven: Proven, request: CompleteProviderLogin) -> SessionTokens:
        for _ in range(_TRIES):
            try:
                return await self._database.write(
                    lambda connection: self._people.enter(
                        connection, proven, client=request.client, address=request.address
                    )
                )
            except OvertakenError:
                continue
            except ParleyError as error:
                # The name or the address that was free a moment ago.
                if error.code is not ErrorCode.CONFLICT:
                    raise
        raise ParleyError(ErrorCode.UNAVAILABLE, "Logging in did not work; try again.")

    def _require_provider(self) -> Provider:
        if self._provider is None:
            raise ParleyError(ErrorCode.NOT_FOUND, "There is no provider to log in by.")
        return self._provider

    @asynccontextmanager
    async def _provider_time(self) -> AsyncGenerator[None]:
        """Bound what a login asks of the provider: one that is too slow is one that is away."""
        try:
            async with asyncio.timeout(self._settings.accounts_oidc_timeout_s):
                yield
        except TimeoutError:
            raise ProviderAwayError("it takes too long") from None


def _tokens(body: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the ID token and the access token of an answer."""
    id_token, access_token = body.get("id_token"), body.get("access_token")
    kind = body.get("token_type", "Bearer")
    if not isinstance(id_token, str) or not isinstance(kind, str) or kind.lower() != "bearer":
        raise RefusedLoginError(LoginFault.NO_ID_TOKEN)
    if access_token is None:
        return id_token, None
    if not isinstance(access_token, str) or not access_token.isascii() or not access_token.isprintable():
        raise RefusedLoginError(LoginFault.NO_ID_TOKEN)
    return id_token, access_token
