"""How users are told outside: by mail, and by webhooks."""

from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from parley_egress import parse_networks
from parley_messaging import ServiceSettings
from pydantic import Field, field_validator, model_validator

from parley_accounts.notices.letters import address_of
from parley_accounts.notices.mailing import SmtpServer, SmtpTls


class TellingSettings(ServiceSettings):
    """The part of the settings of accounts that is about telling people."""

    accounts_public_url: str | None = Field(
        default=None,
        description="Where people reach the gateway, such as https://chat.example.org; for mails.",
    )
    accounts_smtp_host: str | None = Field(
        default=None,
        description="The server that sends mail, by a name its certificate holds; unset is none.",
    )
    accounts_smtp_port: int = Field(default=587, ge=1, le=65_535, description="Its port.")
    accounts_smtp_tls: SmtpTls = Field(
        default=SmtpTls.STARTTLS,
        description="`starttls`, `tls` from the start, or `none`: for a server on this machine only.",
    )
    accounts_smtp_user: str | None = Field(default=None, description="Who sends; unset logs in to nothing.")
    accounts_smtp_password_file: Path | None = Field(
        default=None, description="File that holds the password of the user who sends."
    )
    accounts_smtp_ca_file: Path | None = Field(
        default=None, description="Certificates by which the server is known; unset are those of the system."
    )
    accounts_smtp_from: str | None = Field(
        default=None, description="Address that mails come from, such as `Parley <parley@example.org>`."
    )
    accounts_webhook_networks: str = Field(
        default="",
        description="Private networks to which webhooks may be sent, with commas between; none.",
    )
    accounts_webhook_ca_file: Path | None = Field(
        default=None, description="Certificates by which webhooks' servers are known; unset are the system's."
    )
    accounts_webhook_s: float = Field(
        default=15.0, gt=0, le=60, description="How long a webhook's server may take to answer."
    )
    accounts_delivery_look_s: float = Field(
        default=1.0, gt=0, le=60, description="How often it is looked for what is to be mailed and posted."
    )

    @property
    def smtp_server(self) -> SmtpServer | None:
        """The server that sends mail, with its password; None when none is set."""
        if self.accounts_smtp_host is None:
            return None
        file = self.accounts_smtp_password_file
        return SmtpServer(
            host=self.accounts_smtp_host,
            port=self.accounts_smtp_port,
            tls=self.accounts_smtp_tls,
            user=self.accounts_smtp_user,
            password=file.read_text(encoding="utf-8").strip() if file is not None else None,
            ca_file=self.accounts_smtp_ca_file,
        )

    @field_validator("accounts_webhook_networks")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        parse_networks(value)
        return value

    @field_validator("accounts_smtp_from")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None:
            address_of(value)
        return value

    @field_validator("accounts_public_url")
    @classmethod
    def _is_an_address_of_pages(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an http or https URL without a query")
        return value

    @model_validator(mode="after")
    def _can_mail_if_it_is_to(self) -> Self:
        if self.accounts_smtp_host is None:
            return self
        if self.accounts_smtp_from is None or self.accounts_public_url is None:
            raise ValueError("accounts_smtp_host needs accounts_smtp_from and accounts_public_url")
        if (self.accounts_smtp_user is None) != (self.accounts_smtp_password_file is None):
            raise ValueError("accounts_smtp_user and accounts_smtp_password_file belong together")
        if self.accounts_smtp_tls is SmtpTls.NONE and not _is_here(self.accounts_smtp_host):
            raise ValueError("accounts_smtp_tls may be none for a server on this machine only")
        return self


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
