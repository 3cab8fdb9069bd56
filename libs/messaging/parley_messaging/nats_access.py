"""Who a process is on the bus, how it proves that, and whom it takes for the bus."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faststream.nats import NatsNKey, NatsSecurity
from nats.aio.client import Client
from parley_contracts.bus_permissions import streams_of
from parley_contracts.bus_rights import BusRights

from parley_messaging.bus_keys import public_key
from parley_messaging.inboxes import PREFIX, InboxNames


@dataclass(frozen=True, slots=True, kw_only=True)
class BusAccess:
    """What a connection needs besides an address.

    Attributes:
        rights: What the user may do; None for one that may do anything, as on an open bus.
        nkey_file: Holds the seed that proves the user; None when the bus asks for no proof, or the address
            carries a name and a password.
        ca_file: Certificates by which the server is known; with it the connection has TLS or is not used.
        cert_file: The client's own certificate, where the server wants one.
        key_file: The key of `cert_file`.
    """

    rights: BusRights | None = None
    nkey_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @property
    def inbox_prefix(self) -> str:
        """Under which answers come."""
        return self.rights.inbox_prefix if self.rights else PREFIX

    @property
    def keeps_streams(self) -> bool:
        """Whether this process makes streams; else it waits until they are there."""
        return self.rights is None or bool(self.rights.keeps)

    @property
    def awaited_streams(self) -> tuple[str, ...]:
        """The streams that others make and this process uses."""
        return () if self.rights is None or self.rights.keeps else streams_of(self.rights)

    def needs_tls(self, url: str) -> bool:
        """Return whether a connection to `url` without TLS is one to somebody else."""
        return self.ca_file is not None or url.startswith(("tls://", "wss://"))

    def options(self, url: str) -> dict[str, Any]:
        """Return what FastStream's broker is told.

        Raises:
            OSError: A file cannot be read.
            ValueError: A file holds something else than it should.
        """
        context = self._tls_context() if self.needs_tls(url) else None
        if self.nkey_file is not None:
            # Read once here, where what is wrong with it has the file's name in its error.
            _check_seed(self.nkey_file)
            security: NatsSecurity | None = NatsNKey.from_file(self.nkey_file, ssl_context=context)
        else:
            security = NatsSecurity(ssl_context=context) if context else None
        return {"inbox_prefix": self.inbox_prefix, **({"security": security} if security else {})}

    def _tls_context(self) -> ssl.SSLContext:
        files = [path for path in (self.ca_file, self.cert_file, self.key_file) if path is not None]
        for path in files:
            # OpenSSL's own error names none.
            path.read_bytes()
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file, password=_no_password)
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or str(error)
            names = ", ".join(map(str, files))
            raise ValueError(f"the bus's certificates cannot be used ({reason}): {names}") from None
        return context


def _no_password() -> str:
    # Without this, OpenSSL asks for one at the terminal and hangs.
    raise ValueError("the key is locked by a password")


def _check_seed(path: Path) -> None:
    try:
        public_key(path.read_text(encoding="ascii").strip())
    except ValueError:
        # Its text may be the better part of a seed.
        raise ValueError(f"{path} holds no seed of a user of the bus") from None


def has_tls(connection: Client) -> bool:
    """Return whether a connection is encrypted: the client does what the server, or somebody else, says."""
    told: dict[str, Any] = connection._server_info  # pyright: ignore - there is no public way to see it
    return bool(told.get("tls_required"))


def hide_inboxes(connection: Client) -> None:
    """Have a new connection await answers where nobody guesses it."""
    connection._nuid = InboxNames()  # pyright: ignore - there is no public way to choose names


OPEN = BusAccess()
"""Access to a bus that lets everybody do anything."""
