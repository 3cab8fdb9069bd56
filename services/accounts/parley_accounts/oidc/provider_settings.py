"""What the accounts service is told of a provider of OpenID Connect."""

from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

from parley_contracts.policy import Role
from parley_messaging import ServiceSettings
from pydantic import Field, SecretStr, field_validator, model_validator

from parley_accounts.oidc.addresses import is_safe_address

REFUSE: Literal["refuse"] = "refuse"
_GIVEN = (Role.GUEST, Role.MEMBER, Role.ADMIN)


class Strangers(StrEnum):
    """What becomes of people whom the provider knows and accounts does not."""

    REFUSED = "refused"
    INVITED = "invited"
    WELCOME = "welcome"


class OidcSettings(ServiceSettings):
    """Settings of the provider; without an issuer there is none, and nobody is asked to log in by it."""

    accounts_oidc_issuer: str | None = Field(
        default=None, max_length=500, description="The provider's issuer, exactly as it names itself."
    )
    accounts_oidc_client_id: str = Field(
        default="", max_length=500, description="What Parley is called at the provider."
    )
    accounts_oidc_client_secret: SecretStr | None = Field(
        default=None, description="The secret it has there; none for a public client."
    )
    accounts_oidc_client_secret_file: Path | None = Field(
        default=None, description="A file with that secret, instead."
    )
    accounts_oidc_redirect_url: str = Field(
        default="",
        description="The public address of `/api/auth/oidc/callback`, as it is registered at the provider.",
    )
    accounts_oidc_label: str = Field(
        default="Log in with single sign-on",
        min_length=1,
        max_length=60,
        description="What the button on the log-in page says.",
    )
    accounts_oidc_scopes: str = Field(
        default="openid email profile", description="Scopes to ask for, with spaces between; openid is one."
    )
    accounts_oidc_email_domains: str = Field(
        default="",
        description="Domains, with commas between: only people with a verified address there come in; all.",
    )
    accounts_oidc_strangers: Strangers = Field(
        default=Strangers.INVITED,
        description="Who has no account yet: `refused`; `invited`, by an invitation to his verified address; "
        "`welcome`, gets one.",
    )
    accounts_oidc_links_by_email: bool = Field(
        default=False,
        description="Whether somebody whose verified address a user has becomes that user; the user's "
        "password, keys and sessions end then.",
    )
    accounts_oidc_default_role: Role | Literal["refuse"] = Field(
        default=Role.GUEST,
        description="The role of new people, and of whom no group gives one; `refuse` lets those not in.",
    )
    accounts_oidc_role_claim: str = Field(
        default="groups",
        min_length=1,
        max_length=200,
        description="The claim that lists groups; dots lead into objects, as in `realm_access.roles`.",
    )
    accounts_oidc_roles: str = Field(
        default="",
        description="Roles by group, `group=role` with semicolons between; then each login sets the role.",
    )
    accounts_oidc_asks_userinfo: bool = Field(
        default=False, description="Whether claims are also asked for at the provider's userinfo endpoint."
    )
    accounts_oidc_ends_provider_session: bool = Field(
        default=False, description="Whether logging out leads a browser to the provider's logout as well."
    )
    accounts_oidc_logout_return_url: str = Field(
        default="",
        description="Where the provider leads back after that, as it is registered there; unset is its page.",
    )
    accounts_oidc_ca_file: Path | None = Field(
        default=None, description="Certificates to trust the provider by, besides the usual ones."
    )
    accounts_oidc_timeout_s: float = Field(
        default=8.0, gt=0, le=15, description="How long all that one login asks of the provider may take."
    )
    accounts_oidc_login_s: int = Field(
        default=600, ge=30, le=3600, description="How long somebody may take to log in at the provider."
    )
    accounts_oidc_cache_s: float = Field(
        default=3600.0, gt=0, description="How long the provider's description and keys are kept."
    )
    accounts_oidc_exchanges: int = Field(
        default=8, ge=1, le=64, description="Logins at once that ask the provider; more are `overloaded`."
    )

    @property
    def oidc_issuer(self) -> str:
        """The issuer; empty without one."""
        return self.accounts_oidc_issuer or ""

    @property
    def oidc_secret(self) -> str | None:
        """The client's secret; OSError names a file that cannot be read."""
        if self.accounts_oidc_client_secret_file is not None:
            return self.accounts_oidc_client_secret_file.read_text(encoding="utf-8").strip()
        secret = self.accounts_oidc_client_secret
        return secret.get_secret_value() if secret is not None else None

    @property
    def oidc_domains(self) -> frozenset[str]:
        """The domains that addresses must have; empty for all."""
        parts = self.accounts_oidc_email_domains.split(",")
        return frozenset(part.strip().removeprefix("@").casefold() for part in parts if part.strip())

    @property
    def oidc_roles(self) -> dict[str, Role]:
        """Roles by group; empty when groups give none."""
        return _read_roles(self.accounts_oidc_roles)

    @field_validator("accounts_oidc_roles")
    @classmethod
    def _are_roles(cls, value: str) -> str:
        _read_roles(value)
        return value

    @field_validator("accounts_oidc_scopes")
    @classmethod
    def _asks_for_an_id_token(cls, value: str) -> str:
        if "openid" not in value.split():
            raise ValueError("openid has to be one of the scopes")
        return value

    @field_validator("accounts_oidc_default_role")
    @classmethod
    def _is_given(cls, value: Role | Literal["refuse"]) -> Role | Literal["refuse"]:
        if value is Role.OWNER:
            raise ValueError("no provider makes owners")
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.accounts_oidc_issuer is None:
            return self
        for name in ("accounts_oidc_issuer", "accounts_oidc_redirect_url"):
            if not is_safe_address(getattr(self, name)):
                raise ValueError(f"{name} is no https address (http is for this machine only)")
        if self.accounts_oidc_logout_return_url and not is_safe_address(self.accounts_oidc_logout_return_url):
            raise ValueError("accounts_oidc_logout_return_url is no https address")
        if not self.accounts_oidc_client_id:
            raise ValueError("accounts_oidc_client_id is missing")
        if self.accounts_oidc_client_secret and self.accounts_oidc_client_secret_file:
            raise ValueError("the client's secret stands in the environment or in a file, not in both")
        if self.accounts_oidc_default_role == REFUSE and not self.oidc_roles:
            raise ValueError("accounts_oidc_default_role=refuse needs accounts_oidc_roles")
        return self


def _read_roles(text: str) -> dict[str, Role]:
    found: dict[str, Role] = {}
    for part in (part.strip() for part in text.split(";")):
        if not part:
            continue
        group, equals, role = part.rpartition("=")
        if not equals or not group.strip() or role.strip() not in tuple(_GIVEN):
            raise ValueError(f"{part!r} is not group=role, the role one of {', '.join(_GIVEN)}")
        found[group.strip()] = Role(role.strip())
    return found
