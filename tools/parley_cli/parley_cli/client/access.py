"""Where the stack is and which key opens it."""

import ssl
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from parley_cli.exits import CliError, not_running
from parley_cli.owner_secrets import read_owner_key
from parley_cli.settings import CliSettings
from parley_cli.supervisor.stack_state import read_state


@dataclass(frozen=True)
class Access:
    """Address and key of one stack."""

    url: str
    key: str = field(repr=False)
    trusted: tuple[Path, ...] = ()

    @property
    def socket_url(self) -> str:
        """The chat socket's address."""
        return "ws" + self.url.removeprefix("http") + "/ws"

    @cached_property
    def tls(self) -> ssl.SSLContext | None:
        """How TLS is spoken there, None without it; CliError for a file that holds no certificates."""
        if not self.url.startswith("https://"):
            return None
        context = ssl.create_default_context()
        # A certificate that somebody has named is trusted without the one that issued it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        for path in self.trusted:
            try:
                context.load_verify_locations(path)
            except OSError as error:
                reason = error.strerror or "it holds no certificate"
                raise CliError(
                    f"The certificates in {path} cannot be read ({reason}).", code="usage"
                ) from None
        return context

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


def find_key(settings: CliSettings) -> str:
    """Return PARLEY_API_KEY, else the local owner's key."""
    key = settings.api_key or read_owner_key(settings.secrets_dir)
    if key is not None and not (key.isascii() and key.isprintable()):
        raise CliError("The API key holds characters that no key has: look at PARLEY_API_KEY.", code="usage")
    if key is None and settings.url is not None:
        raise not_running(
            f"There is no key for {settings.url}: set PARLEY_API_KEY"
            " (`parley token` prints it on the machine where Parley runs)."
        )
    if key is None:
        raise not_running(
            "There is no API key yet: `make up` creates the local owner's, or set PARLEY_API_KEY."
        )
    return key


def find_access(settings: CliSettings) -> Access:
    """Return PARLEY_URL, else the address of the stack that runs here."""
    url = settings.url
    if url is None:
        state = read_state(settings.run_dir)
        url = state.url if state else None
    if not url:
        raise not_running()
    if not url.startswith(("http://", "https://")):
        raise CliError(f"PARLEY_URL must begin with http:// or https://: {url!r}.", code="usage")
    if not _is_address(url):
        raise CliError(f"PARLEY_URL is no address: {url!r}.", code="usage")
    trusted = tuple(path for path in (settings.ca_file, settings.tls_cert) if path is not None)
    return Access(url.rstrip("/"), find_key(settings), trusted)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        return False
