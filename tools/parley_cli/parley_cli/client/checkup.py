"""What Parley needs on this machine, whether it is there, and how to get it."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from parley_cli.exits import path_refused
from parley_cli.owner_secrets import read_owner_key
from parley_cli.settings import CliSettings
from parley_cli.supervisor.broker_access import NATS_PORT, REDIS_PORT
from parley_cli.supervisor.brokers import find_program, how_to_install
from parley_cli.supervisor.ports import is_free
from parley_cli.supervisor.readiness import NatsGreeting, is_reachable, nats_greeting, shown_address
from parley_cli.supervisor.stack_state import is_supervised, read_state

MINIMUM_PYTHON = (3, 11)
MINIMUM_FREE_BYTES = 2 * 1024**3
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OLLAMA_PORT = 11434
HTTP_PORT, HTTPS_PORT = 80, 443
VERSION_TIMEOUT_S = 5


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `missing` keeps Parley from starting, `absent` only costs a feature."""

    name: str
    state: Literal["ok", "absent", "missing"]
    found: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def _version(path: str) -> str:
    try:
        result = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return path
    told = (result.stdout or result.stderr).strip().splitlines()
    # redis-server tells its whole build after its version.
    return told[0].partition(" sha=")[0] if told else path


def _nats(settings: CliSettings) -> Finding:
    url = settings.nats_url
    if url is not None:
        match asyncio.run(nats_greeting(url, NATS_PORT)):
            case NatsGreeting.NOT_NATS:
                remedy = "give the address of a nats-server"
                return Finding("NATS_URL", "missing", f"{shown_address(url)} does not speak NATS", remedy)
            case NatsGreeting.NO_JETSTREAM:
                remedy = "start nats-server with -js"
                return Finding("NATS_URL", "missing", f"{shown_address(url)} has no JetStream", remedy)
            case _:
                pass
    return _server("nats-server", url, "NATS_URL", NATS_PORT)


def _server(program: str, url: str | None, setting: str, default_port: int) -> Finding:
    if url is not None:
        shown = shown_address(url)
        if asyncio.run(is_reachable(url, default_port)):
            return Finding(setting, "ok", f"{shown} answers")
        return Finding(setting, "missing", f"{shown} does not answer", f"start it, or unset {setting}")
    path = find_program(program)
    if path is None:
        return Finding(program, "missing", "not installed", how_to_install(program))
    return Finding(program, "ok", _version(path))


def _chromium() -> Finding:
    path = next((path for name in CHROMIUM_NAMES if (path := find_program(name))), None)
    if path is None:
        return Finding(
            "chromium", "absent", "not installed: web pages cannot be read", how_to_install("chromium")
        )
    return Finding("chromium", "ok", path)


def _python() -> Finding:
    found = sys.version.split()[0]
    is_recent = sys.version_info >= MINIMUM_PYTHON
    return Finding(
        "python", "ok" if is_recent else "missing", found, "" if is_recent else "Python 3.11 or newer"
    )


def _uv() -> Finding:
    path = shutil.which("uv") or shutil.which("uv", path=str(Path(".venv-tools/bin")))
    if path is None:
        return Finding("uv", "absent", "not installed", "make install")
    return Finding("uv", "ok", _version(path))


def _data_folder(settings: CliSettings) -> Finding:
    existing = next(path for path in (settings.data_dir, *settings.data_dir.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        remedy = "set PARLEY_DATA_DIR to a folder that you may write to"
        return Finding("data folder", "missing", f"{existing} cannot be written to", remedy)
    free_bytes = shutil.disk_usage(existing).free
    shown = f"{settings.data_dir} ({free_bytes / 1024**3:.0f} GB free)"
    is_enough = free_bytes >= MINIMUM_FREE_BYTES
    return Finding(
        "data folder", "ok" if is_enough else "absent", shown, "" if is_enough else "free some space"
    )


def _port(settings: CliSettings) -> Finding:
    if is_supervised(settings.run_dir):
        state = read_state(settings.run_dir)
        return Finding("stack", "ok", f"{state.phase} at {state.url}" if state else "starting")
    if is_free(settings.port):
        return Finding("stack", "absent", f"not running (port {settings.port} is free)", "make up")
    return Finding(
        "stack",
        "missing",
        f"port {settings.port} is taken by another program",
        "set PARLEY_PORT to a free one",
    )


def _model(settings: CliSettings) -> Finding:
    models = settings.data_dir / "models"
    if models.is_dir() and any(models.iterdir()):
        return Finding("embedding model", "ok", str(models))
    return Finding("embedding model", "absent", "not fetched yet", "the first `make up` fetches it")


def _owner_key(settings: CliSettings) -> Finding:
    if settings.api_key or read_owner_key(settings.secrets_dir):
        return Finding("API key", "ok", "PARLEY_API_KEY" if settings.api_key else str(settings.secrets_dir))
    return Finding("API key", "absent", "none yet", "the first `make up` creates it")


def _ollama(settings: CliSettings) -> Finding:
    address = settings.environment.get("OLLAMA_HOST") or f"http://127.0.0.1:{OLLAMA_PORT}"
    if asyncio.run(is_reachable(address, OLLAMA_PORT)):
        return Finding("ollama", "ok", f"{address} answers")
    return Finding(
        "ollama", "absent", "not there: answers quote the documents", "start Ollama for answers in own words"
    )


def _hosted(settings: CliSettings, name: str, usual: str) -> Iterator[Finding]:
    """Look at a provider of models by `<NAME>_BASE_URL`; nothing is said of one that nobody has named."""
    title, variable = name.lower(), f"{name}_BASE_URL"

    def told(setting: str) -> str | None:
        return settings.environment.get(f"PARLEY_LLM_{setting}") or settings.environment.get(setting)

    address, has_key = told(variable), bool(told(f"{name}_API_KEY"))
    if not address:
        if has_key:
            found = "a key without an address: nothing is asked there"
            yield Finding(title, "absent", found, f"set {variable}, such as {usual}")
        return
    port = HTTPS_PORT if address.startswith("https:") else HTTP_PORT
    shown, key = shown_address(address), "with a key" if has_key else "without a key"
    if asyncio.run(is_reachable(address, port)):
        yield Finding(title, "ok", f"{shown} can be reached, {key}")
    else:
        remedy = f"see to {variable}, or to a proxy"
        yield Finding(title, "absent", f"{shown} cannot be reached, {key}", remedy)


def _readable(name: str, look: Callable[[CliSettings], Finding], settings: CliSettings) -> Finding:
    """Look at what stands in the data folder; a path that is refused is what was found."""
    try:
        return look(settings)
    except OSError as error:
        return Finding(name, "missing", path_refused(error).message, "run parley as the user who owns it")


def examine(settings: CliSettings) -> Iterator[Finding]:
    """Look at everything; quick, and starts nothing that stays."""
    yield _python()
    yield _uv()
    yield _nats(settings)
    yield _server("redis-server", settings.redis_url, "REDIS_URL", REDIS_PORT)
    yield _chromium()
    yield _readable("data folder", _data_folder, settings)
    yield _readable("embedding model", _model, settings)
    yield _readable("API key", _owner_key, settings)
    yield _ollama(settings)
    yield from _hosted(settings, "OPENAI", "https://api.openai.com/v1")
    yield from _hosted(settings, "ANTHROPIC", "https://api.anthropic.com")
    yield _readable("stack", _port, settings)
