"""Which port each process listens on: remembered from start to start, moved when something else has it."""

import json
import socket
from pathlib import Path

from parley_cli.exits import CliError

LOOPBACK = "127.0.0.1"
PREFERRED = {
    "nats": 14222,
    "redis": 16379,
    "gateway": 18000,
    "llm": 18001,
    "npu": 18002,
    "rag": 18003,
    "memory": 18004,
    "browser": 18005,
    "accounts": 18006,
}
FIRST_OTHER = 18020
ATTEMPTS = 500


def is_free(port: int) -> bool:
    """Return whether a server may listen on a loopback port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


class PortBook:
    """Gives each name a free port, the remembered one when it can."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._remembered = self._read()
        self._given: dict[str, int] = {}

    def _read(self) -> dict[str, int]:
        try:
            return {str(name): int(port) for name, port in json.loads(self._path.read_text()).items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def port(self, name: str) -> int:
        """Return a free port for `name`; the same name gets the same port."""
        if name not in self._given:
            self._given[name] = self._choose(name)
        return self._given[name]

    def _choose(self, name: str) -> int:
        first = self._remembered.get(name, PREFERRED.get(name, FIRST_OTHER))
        taken = set(self._given.values()) | {
            port for other, port in self._remembered.items() if other != name
        }
        for port in range(first, first + ATTEMPTS):
            if port not in taken and is_free(port):
                return port
        raise CliError(f"No free port for {name} between {first} and {first + ATTEMPTS}.")

    def save(self) -> None:
        """Remember the ports for the next start."""
        self._path.write_text(json.dumps(self._remembered | self._given, indent=1))


def require_free(port: int, setting: str) -> None:
    """Raise CliError when a port that must not move is taken."""
    try:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((LOOPBACK, port))
    except PermissionError:
        raise CliError(
            f"Port {port} needs root: set {setting} to a port above 1023.", code="port_refused"
        ) from None
    except OSError:
        raise CliError(
            f"Port {port} is taken by another program: stop it, or set {setting} to a free port"
            f" (for example {setting}={port + 1}).",
            code="port_taken",
        ) from None
