"""Logging in by a provider of OpenID Connect: requests to the accounts service, which alone speaks to it."""

from typing import Annotated, Literal

from pydantic import Field

from parley_contracts.accounts import PrincipalRequest, SessionTokens
from parley_contracts.model import WireModel

Proof = Annotated[str, Field(min_length=1, max_length=3500, repr=False)]
"""What a browser keeps of a login that it has begun, sealed; fits into a cookie."""


class ReadLoginProvider(WireModel):
    """Request: is there a provider to log in by?"""

    type: Literal["read_login_provider"] = "read_login_provider"


class LoginProvider(WireModel):
    """The provider to log in by."""

    type: Literal["login_provider"] = "login_provider"
    label: str | None = Field(description="What the button says; None is no provider.")


class BeginProviderLogin(WireModel):
    """Request: where a browser is sent to log in. `not_found` without a provider."""

    type: Literal["begin_provider_login"] = "begin_provider_login"
    return_to: str = Field(max_length=512, description="A path of the gateway, for afterwards.")


class ProviderLoginBegun(WireModel):
    """A login that has begun."""

    type: Literal["provider_login_begun"] = "provider_login_begun"
    address: str = Field(repr=False, description="Of the provider, with all that it has to be told.")
    proof: Proof = Field(description="For this browser alone.")
    lasts_s: int


class CompleteProviderLogin(WireModel):
    """Request: a session for whom the provider has sent back.

    `unauthenticated`, always in the same words, when there is none; a login is completed once.
    """

    type: Literal["complete_provider_login"] = "complete_provider_login"
    proof: Proof
    state: str = Field(max_length=512, repr=False)
    code: str | None = Field(default=None, max_length=8192, repr=False)
    issuer: str | None = Field(default=None, max_length=512, description="`iss` of RFC 9207.")
    error: str | None = Field(default=None, max_length=512, description="Why the provider sends no code.")
    client: str = Field(default="", max_length=200, description="What the session is shown as in a list.")
    address: str | None = Field(default=None, max_length=64, description="Where the client is, if known.")


class ProviderLoginCompleted(WireModel):
    """A session, and where the browser wanted to go."""

    type: Literal["provider_login_completed"] = "provider_login_completed"
    tokens: SessionTokens
    return_to: str


class ReadProviderLogout(PrincipalRequest):
    """Request: where a browser ends its session at the provider, when its session here was opened by it."""

    type: Literal["read_provider_logout"] = "read_provider_logout"
    session_id: str


class ProviderLogout(WireModel):
    """Where a browser goes that logs out."""

    type: Literal["provider_logout"] = "provider_logout"
    address: str | None = Field(description="Of the provider; None is nowhere.")
