"""What a provider says of itself (OpenID Connect Discovery 1.0), and its keys: kept a while, asked for once.

While it cannot be asked, what it said last goes on being used for a day.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from parley_accounts.oidc.addresses import is_safe_address
from parley_accounts.oidc.bounded_client import BoundedClient
from parley_accounts.oidc.faults import ProviderAwayError
from parley_accounts.oidc.published_keys import PublicKey, SigningKey, find_key, read_keys

log = logging.getLogger("parley.accounts")

STALE_S = 86_400.0
"""How long what a provider has said is used while it cannot be asked."""
PAUSE_S = 2.0
"""How long a provider that did not answer is left alone."""
REFETCH_S = 30.0
"""How often at most keys are asked for because a token names an unknown one."""
_WELL_KNOWN = "/.well-known/openid-configuration"

Address = str
Kept = TypeVar("Kept")
SecondsClock = Callable[[], float]


class Metadata(BaseModel):
    """A provider's description, as far as it is used."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)

    issuer: str
    authorization_endpoint: Address
    token_endpoint: Address
    jwks_uri: Address
    userinfo_endpoint: Address | None = None
    end_session_endpoint: Address | None = None
    code_challenge_methods_supported: list[str] | None = None
    token_endpoint_auth_methods_supported: list[str] = Field(default=["client_secret_basic"])
    authorization_response_iss_parameter_supported: bool = False

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name.endswith(("_endpoint", "_uri")) and value is not None and not is_safe_address(value):
                raise ValueError(f"{name} is no https address")
        methods = self.code_challenge_methods_supported
        if methods is not None and "S256" not in methods:
            raise ValueError("PKCE by S256 is not offered")
        return self


class _Remembered(Generic[Kept]):
    """Something that one asks for all, kept for `keep_s`, and used longer while it cannot be had."""

    def __init__(self, fetch: Callable[[], Awaitable[Kept]], keep_s: float, clock: SecondsClock) -> None:
        self._fetch = fetch
        self._keep_s = keep_s
        self._clock = clock
        self._asking = asyncio.Lock()
        self._kept: Kept | None = None
        self._kept_at_s = 0.0
        self._failed_at_s = -PAUSE_S

    async def get(self, *, than: Kept | None = None) -> Kept:
        """Return it; another one than `than`, if there is one by now."""
        async with self._asking:
            now_s = self._clock()
            kept, age_s = self._kept, now_s - self._kept_at_s
            if kept is not None and age_s < self._keep_s and kept is not than:
                return kept
            is_paused = now_s - self._failed_at_s < PAUSE_S
            try:
                if is_paused:
                    raise ProviderAwayError("it has just not answered")
                self._kept = await self._fetch()
                self._kept_at_s = self._clock()
                return self._kept
            except ProviderAwayError as error:
                return self._stale(error, than, is_paused=is_paused)
            except asyncio.CancelledError:
                # The time of a login is over: a provider that is slow is one that does not answer.
                self._failed_at_s = self._clock()
                raise

    def _stale(self, error: ProviderAwayError, than: Kept | None, *, is_paused: bool) -> Kept:
        if not is_paused:
            self._failed_at_s = self._clock()
            log.warning("the login provider cannot be asked", extra={"why": error.why})
        kept = self._kept
        if kept is None or kept is than or self._clock() - self._kept_at_s > STALE_S:
            raise error
        return kept


class Provider:
    """One provider, by its issuer."""

    def __init__(
        self,
        client: BoundedClient,
        issuer: str,
        *,
        keep_s: float,
        clock: SecondsClock = time.monotonic,
    ) -> None:
        self.issuer = issuer
        self.client = client
        self._clock = clock
        self._metadata = _Remembered(self._fetch_metadata, keep_s, clock)
        self._keys = _Remembered(self._fetch_keys, keep_s, clock)
        self._refetched_at_s = -REFETCH_S

    async def metadata(self) -> Metadata:
        """Return what it says of itself; ProviderAwayError when it says nothing, or what cannot be used."""
        return await self._metadata.get()

    async def find_key(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """Return the key that a token names, asked for anew when it is unknown; None when there is none."""
        known = await self._keys.get()
        if (found := find_key(known, kid, algorithm)) is not None:
            return found
        if self._clock() - self._refetched_at_s < REFETCH_S:
            # Another login may be asking for them at this moment.
            return find_key(await self._keys.get(), kid, algorithm)
        self._refetched_at_s = self._clock()
        return find_key(await self._keys.get(than=known), kid, algorithm)

    async def _fetch_metadata(self) -> Metadata:
        answer = await self.client.get(self.issuer.rstrip("/") + _WELL_KNOWN)
        if not answer.is_good:
            raise ProviderAwayError(f"its description is answered by {answer.status}")
        try:
            found = Metadata.model_validate(dict(answer.body))
        except ValidationError as error:
            raise ProviderAwayError(f"its description cannot be used: {error.errors()[0]['msg']}") from error
        if found.issuer != self.issuer:
            raise ProviderAwayError("its description is another issuer's")
        return found

    async def _fetch_keys(self) -> tuple[SigningKey, ...]:
        answer = await self.client.get((await self.metadata()).jwks_uri)
        if not answer.is_good:
            raise ProviderAwayError(f"its keys are answered by {answer.status}")
        return read_keys(answer.body)
