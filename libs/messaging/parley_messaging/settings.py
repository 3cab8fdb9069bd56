"""Settings every service has, read once from the environment or a `.env` file, prefix `PARLEY_`."""

import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from parley_contracts.bus_rights import rights_of
from parley_contracts.claims import ClaimsMode
from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from parley_messaging.nats_access import BusAccess

OLLAMA_PORT = 11_434


def _instance() -> str:
    return f"{socket.gethostname().split('.')[0]}-{uuid4().hex[:8]}"


def usual(name: str, default: Any, description: str) -> Any:
    """Return a field whose variable is known everywhere by a name without our prefix."""
    return Field(
        default=default,
        validation_alias=AliasChoices(name, f"PARLEY_{name}"),
        description=description,
    )


class ServiceSettings(BaseSettings):
    """What every service reads. A service adds fields that begin with its own name."""

    model_config = SettingsConfigDict(
        env_prefix="PARLEY_", env_file=".env", extra="ignore", populate_by_name=True, frozen=True
    )

    data_dir: Path = Field(default=Path("data"), description="Holds everything that is kept.")
    secrets_dir: Path | None = Field(
        default=None, description="Holds keys; unset is `secrets` in the data folder."
    )
    claims: ClaimsMode = Field(
        default=ClaimsMode.REQUIRE,
        description="What becomes of messages that nobody vouches for: `require` refuses them, `observe` "
        "counts and logs them, for the time of an upgrade.",
    )
    claims_key_file: Path | None = Field(
        default=None, description="Key to sign claims by; unset is in the folder of the secrets."
    )
    claims_public_file: Path | None = Field(
        default=None,
        description="Keys to verify claims by; unset is claims.pub in the folder of the secrets.",
    )
    instance: str = Field(
        default_factory=_instance, description="Unique name of this process: letters, digits, - and _."
    )
    health_host: str = Field(default="127.0.0.1", description="Where the probes are served.")
    health_port: int | None = Field(
        default=None, ge=0, le=65_535, description="Port of /livez, /readyz and /metrics; unset is none."
    )
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_content: bool = Field(default=False, description="Log what people wrote, under one key.")
    grace_s: float = Field(
        default=30.0, gt=0, description="How long work at hand may go on after SIGTERM, seconds."
    )
    bus_start_s: float = Field(
        default=15.0, gt=0, description="How long to wait for the bus at start, seconds."
    )
    nats_replicas: int = Field(default=1, ge=1, le=5, description="Copies of each stream in a cluster.")
    nats_url: str = usual("NATS_URL", "nats://127.0.0.1:14222", "Bus servers, separated by commas.")
    nats_nkey_file: Path | None = usual(
        "NATS_NKEY_FILE", None, "Seed of this service's user of the bus; unset where the bus is open."
    )
    nats_ca_file: Path | None = usual(
        "NATS_CA_FILE", None, "Certificates by which the bus is known; set, the bus is used with TLS only."
    )
    nats_cert_file: Path | None = usual(
        "NATS_CERT_FILE", None, "This service's certificate, where the bus wants one."
    )
    nats_key_file: Path | None = usual("NATS_KEY_FILE", None, "Key of NATS_CERT_FILE.")
    redis_url: str = usual("REDIS_URL", "redis://127.0.0.1:16379", "Redis server.")
    qdrant_url: str | None = usual("QDRANT_URL", None, "Qdrant server; unset keeps vectors in process.")
    database_url: str | None = usual("DATABASE_URL", None, "PostgreSQL; unset keeps SQLite files.")
    ollama_host: str = usual("OLLAMA_HOST", "http://127.0.0.1:11434", "Ollama server.")

    def bus_access(self, service: str) -> BusAccess:
        """Return how the bus is used under a service's name (ValueError for a name that is none)."""
        return BusAccess(
            rights=rights_of(service) if self.nats_nkey_file else None,
            nkey_file=self.nats_nkey_file,
            ca_file=self.nats_ca_file,
            cert_file=self.nats_cert_file,
            key_file=self.nats_key_file,
        )

    @property
    def secrets_path(self) -> Path:
        """Where the keys are."""
        return self.secrets_dir or self.data_dir / "secrets"

    @property
    def ollama_url(self) -> str:
        """The URL that `ollama_host` means; without a scheme the port is Ollama's own."""
        host = self.ollama_host
        address = urlsplit(host if "://" in host else f"http://{host}")
        name, port = address.hostname or "127.0.0.1", address.port
        if port is None:
            port = {"https": 443, "http": 80}.get(address.scheme, 80) if "://" in host else OLLAMA_PORT
        return f"{address.scheme}://{f'[{name}]' if ':' in name else name}:{port}{address.path.rstrip('/')}"
