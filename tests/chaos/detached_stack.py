"""A stack started by the real `parley up --detach`, in a data folder and on ports of its own."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from parley_cli.bus_secrets import OPERATOR, BusSecrets
from parley_cli.supervisor.ports import is_free
from parley_cli.supervisor.processes import identity
from parley_cli.supervisor.stack_state import StackState, read_state
from parley_gateway.identity import Secrets
from parley_gateway.ids import OwnedIds

from tests.conftest import free_port
from tests.integration.stack import LOOPBACK
from tests.integration.waiting import eventually

COMMAND_S = 120.0
GATEWAYS = 2
PORT_TRIES = 50
_OWN_SETTINGS = (
    "NATS_URL",
    "NATS_NKEY_FILE",
    "NATS_NKEY_DIR",
    "NATS_CA_FILE",
    "REDIS_URL",
    "QDRANT_URL",
    "DATABASE_URL",
    "OLLAMA_HOST",
)


class DetachedStack:
    """Runs `parley` commands for one data folder."""

    def __init__(self, folder: Path, port: int, environment: Mapping[str, str]) -> None:
        self.data_dir = folder / "data"
        self.urls = [f"http://{LOOPBACK}:{port + index}" for index in range(GATEWAYS)]
        self._folder = folder
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("PARLEY_") and name not in _OWN_SETTINGS
        }
        self._environment = {
            **inherited,
            "HOME": str(folder),
            "PARLEY_DATA_DIR": str(self.data_dir),
            "PARLEY_PORT": str(port),
            **environment,
        }

    async def parley(self, *words: str) -> None:
        """Run a command to its end; RuntimeError with what it said when it fails."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "parley_cli",
            *words,
            env=self._environment,
            cwd=self._folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(COMMAND_S):
            said, _ = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"parley {words[0]} ended with {process.returncode}:\n{said.decode()}")

    async def up(self) -> None:
        """Start it, or start it afresh."""
        words = ("--gateways", str(GATEWAYS), "--without", "browser", "--no-sample-docs")
        await self.parley("up", "--detach", *words)

    @property
    def state(self) -> StackState:
        """What the supervisor has written down."""
        state = read_state(self.data_dir / "run")
        assert state is not None
        return state

    @property
    def operator_nkey(self) -> Path:
        """The seed of the user who may do anything on its bus."""
        return BusSecrets(self.data_dir / "secrets").nkey_file(OPERATOR)

    @property
    def headers(self) -> dict[str, str]:
        """The local owner's credentials."""
        return {"Authorization": f"Bearer {self._secrets.owner_key}"}

    @property
    def ids(self) -> OwnedIds:
        """What gives turns their ids on the bus."""
        return OwnedIds(self._secrets.turn_key)

    @property
    def _secrets(self) -> Secrets:
        return Secrets.read(self.data_dir / "secrets")

    async def kill_supervisor(self) -> None:
        """Send SIGKILL to the supervisor alone and wait until it is gone."""
        state = self.state
        os.kill(state.pid, signal.SIGKILL)

        async def is_gone() -> bool:
            return identity(state.pid) != state.identity

        await eventually(is_gone)


def free_ports_in_a_row() -> int:
    """Return the first of as many free ports as there are gateways."""
    for _ in range(PORT_TRIES):
        port = free_port()
        if all(is_free(port + index) for index in range(GATEWAYS)):
            return port
    raise RuntimeError("no free ports")


@asynccontextmanager
async def open_detached_stack(
    folder: Path, *, model_dir: Path, environment: Mapping[str, str]
) -> AsyncGenerator[DetachedStack]:
    """Start a stack and stop it with `parley down` when the body ends."""
    stack = DetachedStack(folder, free_ports_in_a_row(), environment)
    models = stack.data_dir / "models"
    models.mkdir(parents=True)
    (models / model_dir.name).symlink_to(model_dir)
    try:
        await stack.up()
        yield stack
    finally:
        await stack.parley("down")
