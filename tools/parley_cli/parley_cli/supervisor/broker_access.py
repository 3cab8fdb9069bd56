"""How services reach the brokers: addresses of our own or of external ones, and each one's credentials."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from parley_contracts.redis_rights import REDIS_USERS

from parley_cli.bus_config import BrokerTls
from parley_cli.bus_secrets import BusSecrets
from parley_cli.exits import CliError
from parley_cli.settings import CliSettings
from parley_cli.supervisor.ports import LOOPBACK, PortBook
from parley_cli.supervisor.readiness import NatsGreeting, is_reachable, nats_greeting, shown_address

NATS_PORT = 4222
REDIS_PORT = 6379


@dataclass(frozen=True, kw_only=True)
class BrokerAccess:
    """Addresses without credentials, and what each service is told besides.

    Attributes:
        users: Who may use our own brokers.
        tls: Certificates of our own brokers, or None.
        nkey_dir: Where the services' seeds are, or None for a nats-server that needs none of ours.
        has_own_redis: Whether redis-server is ours and wants to know who comes.
    """

    nats_url: str
    redis_url: str
    users: BusSecrets = field(repr=False)
    tls: BrokerTls | None
    nkey_dir: Path | None
    has_own_redis: bool

    def of_service(self, service: str) -> Mapping[str, str]:
        """Return the settings by which one service proves who it is."""
        found: dict[str, str] = {}
        if self.nkey_dir is not None:
            found["NATS_NKEY_FILE"] = str(self.nkey_dir / f"{service}.nk")
        if self.tls is not None:
            found["NATS_CA_FILE"] = str(self.tls.ca_file)
        if self.has_own_redis and service in REDIS_USERS:
            scheme, _, address = self.redis_url.partition("://")
            user = f"{service}:{quote(self.users.redis_password(service), safe='')}"
            found["REDIS_URL"] = f"{scheme}://{user}@{address}"
        return found


def own_redis_url(port: int, tls: BrokerTls | None) -> str:
    """Return the address of our own redis-server."""
    if tls is None:
        return f"redis://{LOOPBACK}:{port}"
    return f"rediss://{LOOPBACK}:{port}?ssl_ca_certs={quote(str(tls.ca_file), safe='/')}"


def own_nats_url(port: int, tls: BrokerTls | None) -> str:
    """Return the address of our own nats-server."""
    return f"{'tls' if tls else 'nats'}://{LOOPBACK}:{port}"


async def open_access(settings: CliSettings, book: PortBook) -> BrokerAccess:
    """Choose the brokers' addresses; CliError for an external server that will not do."""
    users, tls = BusSecrets(settings.secrets_dir), own_tls(settings)
    if settings.nats_url is None or settings.redis_url is None:
        users.create()
    if settings.nats_url is None:
        nats_url, nkey_dir = own_nats_url(book.port("nats"), tls), users.folder
    else:
        await _require_nats(settings.nats_url)
        nats_url, nkey_dir = settings.nats_url, settings.nats_nkey_dir
    if settings.redis_url is None:
        redis_url = own_redis_url(book.port("redis"), tls)
    elif await is_reachable(settings.redis_url, REDIS_PORT):
        redis_url = settings.redis_url
    else:
        raise _unreachable(settings.redis_url, "REDIS_URL")
    return BrokerAccess(
        nats_url=nats_url,
        redis_url=redis_url,
        users=users,
        tls=tls,
        nkey_dir=nkey_dir,
        has_own_redis=settings.redis_url is None,
    )


def own_tls(settings: CliSettings) -> BrokerTls | None:
    """Return the certificates of our own brokers; CliError when one is set without the others."""
    files = (settings.bus_cert_file, settings.bus_key_file, settings.nats_ca_file)
    cert_file, key_file, ca_file = files
    if cert_file is None and key_file is None:
        return None
    if cert_file is None or key_file is None or ca_file is None:
        raise CliError(
            "TLS of the brokers wants PARLEY_BUS_CERT_FILE, PARLEY_BUS_KEY_FILE and NATS_CA_FILE.",
            code="usage",
        )
    for path in (cert_file, key_file, ca_file):
        path.read_bytes()
    tls = BrokerTls(cert_file=cert_file, key_file=key_file, ca_file=ca_file)
    _require_usable(tls)
    return tls


def _require_usable(tls: BrokerTls) -> None:
    """Raise the CliError of certificates that the brokers, or those who ask them, could not use."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # With no password given, OpenSSL asks for one at the terminal and hangs.
        context.load_cert_chain(tls.cert_file, tls.key_file, password="")
    except ssl.SSLError:
        raise CliError(
            f"PARLEY_BUS_CERT_FILE ({tls.cert_file}) and PARLEY_BUS_KEY_FILE ({tls.key_file}) are no"
            " certificate with its key, or the key has a password.",
            code="usage",
        ) from None
    try:
        context.load_verify_locations(tls.ca_file)
    except ssl.SSLError:
        raise CliError(f"NATS_CA_FILE ({tls.ca_file}) holds no certificates.", code="usage") from None


def _unreachable(url: str, setting: str) -> CliError:
    return CliError(
        f"Nothing answers at {setting} ({shown_address(url)}): start that server, or unset {setting}.",
        code="unreachable",
    )


async def _require_nats(url: str) -> None:
    match await nats_greeting(url, NATS_PORT):
        case NatsGreeting.NOTHING:
            raise _unreachable(url, "NATS_URL")
        case NatsGreeting.NOT_NATS:
            raise CliError(f"NATS_URL ({shown_address(url)}) does not speak NATS.", code="unusable")
        case NatsGreeting.NO_JETSTREAM:
            raise CliError(
                f"NATS_URL ({shown_address(url)}) has no JetStream: start nats-server with -js.",
                code="unusable",
            )
        case NatsGreeting.WITH_JETSTREAM:
            pass
