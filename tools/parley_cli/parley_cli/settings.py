"""What the command reads from the environment and `.env`.

A plain dataclass, quick to import: this stands in the path of every start of the stack.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from parley_cli.exits import CliError, ExitCode

MAX_PORT = 65_535


def _text(help_text: str) -> str | None:
    return field(default=None, metadata={"help": help_text})


@dataclass(frozen=True, kw_only=True)
class CliSettings:
    """Settings of the command; `metadata["help"]` documents each field."""

    data_dir: Path = field(metadata={"help": "PARLEY_DATA_DIR: where everything that is kept stands."})
    secrets_dir: Path = field(metadata={"help": "PARLEY_SECRETS_DIR: owner.key and turn.key."})
    port: int = field(default=8000, metadata={"help": "PARLEY_PORT: the public port."})
    nats_url: str | None = _text("NATS_URL: an external nats-server instead of one of our own.")
    nats_nkey_dir: Path | None = field(
        default=None,
        metadata={"help": "NATS_NKEY_DIR: seeds of the services' users of an external nats-server."},
    )
    bus_cert_file: Path | None = field(
        default=None,
        metadata={"help": "PARLEY_BUS_CERT_FILE: certificate of our own brokers; unset, no TLS."},
    )
    bus_key_file: Path | None = field(
        default=None, metadata={"help": "PARLEY_BUS_KEY_FILE: key of PARLEY_BUS_CERT_FILE."}
    )
    nats_ca_file: Path | None = field(
        default=None, metadata={"help": "NATS_CA_FILE: by which the services know our own brokers."}
    )
    redis_url: str | None = _text("REDIS_URL: an external redis-server instead of one of our own.")
    url: str | None = _text("PARLEY_URL: the stack that client commands talk to.")
    ca_file: Path | None = field(
        default=None,
        metadata={"help": "PARLEY_CA_FILE: certificates that client commands trust besides the system's."},
    )
    tls_cert: Path | None = field(
        default=None,
        metadata={"help": "PARLEY_TLS_CERT: the gateway's certificate; with it, TLS is spoken."},
    )
    tls_key: Path | None = field(default=None, metadata={"help": "PARLEY_TLS_KEY: the certificate's key."})
    api_key: str | None = _text("PARLEY_API_KEY: the key client commands use.")
    ready_timeout_s: float = field(
        default=120.0, metadata={"help": "PARLEY_READY_TIMEOUT_S: how long `up` waits for the services."}
    )
    grace_s: float = field(
        default=30.0, metadata={"help": "PARLEY_GRACE_S: how long a process may take to stop."}
    )
    environment: Mapping[str, str] = field(
        default_factory=dict[str, str], repr=False, metadata={"help": "What the services inherit."}
    )

    @property
    def run_dir(self) -> Path:
        """Where the state of a running stack stands."""
        return self.data_dir / "run"

    @property
    def logs_dir(self) -> Path:
        """Where each process has its log."""
        return self.data_dir / "logs"


def _path(values: Mapping[str, str], name: str) -> Path | None:
    text = values.get(name)
    return Path(text).expanduser().absolute() if text else None


def _number(values: Mapping[str, str], name: str, default: float) -> float:
    try:
        return float(values[name]) if values.get(name) else default
    except ValueError:
        raise CliError(f"{name} is not a number: {values[name]!r}.", ExitCode.USAGE, code="usage") from None


def read_settings(environment: Mapping[str, str] | None = None, env_file: Path = Path(".env")) -> CliSettings:
    """Return the settings; the environment wins over `.env`. Raises CliError for a value that cannot be."""
    from_file = {name: value for name, value in dotenv_values(env_file).items() if value is not None}
    values = {**from_file, **(os.environ if environment is None else environment)}
    data_dir = Path(values.get("PARLEY_DATA_DIR") or "data").expanduser().absolute()
    if os.path.isfile(data_dir):  # False, and no error, where it may not be looked at
        raise CliError(
            f"The data folder {data_dir} is a file: set PARLEY_DATA_DIR to a folder.", code="data_folder"
        )
    port = int(_number(values, "PARLEY_PORT", 8000))
    if not 1 <= port <= MAX_PORT:
        raise CliError(f"PARLEY_PORT must be between 1 and {MAX_PORT}, not {port}.", ExitCode.USAGE)
    if bool(values.get("PARLEY_TLS_CERT")) != bool(values.get("PARLEY_TLS_KEY")):
        raise CliError("PARLEY_TLS_CERT and PARLEY_TLS_KEY belong together: set both.", ExitCode.USAGE)
    secrets_dir = values.get("PARLEY_SECRETS_DIR")
    return CliSettings(
        data_dir=data_dir,
        secrets_dir=Path(secrets_dir).expanduser().absolute() if secrets_dir else data_dir / "secrets",
        port=port,
        nats_url=values.get("NATS_URL") or None,
        nats_nkey_dir=_path(values, "NATS_NKEY_DIR"),
        bus_cert_file=_path(values, "PARLEY_BUS_CERT_FILE"),
        bus_key_file=_path(values, "PARLEY_BUS_KEY_FILE"),
        nats_ca_file=_path(values, "NATS_CA_FILE"),
        redis_url=values.get("REDIS_URL") or None,
        url=values.get("PARLEY_URL") or None,
        ca_file=_path(values, "PARLEY_CA_FILE"),
        tls_cert=_path(values, "PARLEY_TLS_CERT"),
        tls_key=_path(values, "PARLEY_TLS_KEY"),
        api_key=values.get("PARLEY_API_KEY") or None,
        ready_timeout_s=_number(values, "PARLEY_READY_TIMEOUT_S", 120.0),
        grace_s=_number(values, "PARLEY_GRACE_S", 30.0),
        environment=values,
    )
