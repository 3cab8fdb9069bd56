"""A whole stack for a test: real brokers and every service as a process of its own, on free ports."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Collection, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import groupby
from pathlib import Path

import httpx
from parley_cli.owner_secrets import create_secrets, read_owner_key
from parley_cli.supervisor.brokers import nats_argv, redis_argv
from parley_cli.supervisor.readiness import http_probe, nats_probe, redis_probe
from parley_cli.supervisor.stack import STOP_RANKS

from tests.conftest import free_port
from tests.integration.chat_client import ChatClient, open_socket
from tests.integration.stack_process import StackProcess

LOOPBACK = "127.0.0.1"
BROKERS = ("nats", "redis")
MONITOR = "nats-monitor"
WORKERS = ("llm", "npu", "rag", "memory", "browser")
HTTP_TIMEOUT_S = 20.0
# What the tests' own surroundings set is not to reach the services.
_OWN_SETTINGS = (
    "NATS_URL",
    "REDIS_URL",
    "QDRANT_URL",
    "DATABASE_URL",
    "OLLAMA_HOST",
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
)


def health_of(name: str) -> str:
    """Return what the port of a service's probes goes by."""
    return f"{name}-health"


class Stack:
    """The processes of a running stack, and clients for its gateways, which count from 0."""

    def __init__(self, folder: Path, *, owner_key: str, nats_url: str, ports: Mapping[str, int]) -> None:
        self.folder = folder
        self.owner_key = owner_key
        self.nats_url = nats_url
        self.processes: dict[str, StackProcess] = {}
        self._ports = ports

    def url(self, gateway: int = 0) -> str:
        """Return the address of a gateway."""
        return f"http://{LOOPBACK}:{self._ports[f'gateway-{gateway}']}"

    def metrics_url(self, name: str) -> str:
        """Return where a service tells its Prometheus metrics."""
        return f"http://{LOOPBACK}:{self._ports[health_of(name)]}/metrics"

    @property
    def nats_monitor_url(self) -> str:
        """Where the stack's own nats-server tells what it holds."""
        return f"http://{LOOPBACK}:{self._ports[MONITOR]}"

    @property
    def headers(self) -> dict[str, str]:
        """The local owner's credentials."""
        return {"Authorization": f"Bearer {self.owner_key}"}

    @asynccontextmanager
    async def http(
        self, gateway: int = 0, *, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[httpx.AsyncClient]:
        """Open an HTTP client; `headers` take the place of the owner's credentials."""
        async with httpx.AsyncClient(
            base_url=self.url(gateway),
            headers=self.headers if headers is None else headers,
            timeout=HTTP_TIMEOUT_S,
            trust_env=False,
        ) as client:
            yield client

    @asynccontextmanager
    async def chat(
        self, gateway: int = 0, *, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[ChatClient]:
        """Open a WebSocket; `headers` take the place of the owner's credentials."""
        credentials = self.headers if headers is None else headers
        async with open_socket(self.url(gateway), credentials) as connection:
            yield ChatClient(connection)

    async def start(self, *names: str) -> None:
        """Start processes side by side and wait until all are ready."""
        async with asyncio.TaskGroup() as tasks:
            for name in names:
                tasks.create_task(self.processes[name].start())

    async def mend(self) -> None:
        """Start what a test has left stopped."""
        await self.start(*(name for name, process in self.processes.items() if not process.is_running))

    async def terminate(self, name: str) -> int:
        """Send SIGTERM to a process and return its exit code."""
        return await self.processes[name].terminate()

    def signal_term(self, name: str) -> None:
        """Send SIGTERM to a process and do not wait."""
        self.processes[name].signal(signal.SIGTERM)

    @contextmanager
    def frozen(self, name: str) -> Generator[None]:
        """Let a process do nothing while the body runs; it keeps its connections."""
        process = self.processes[name]
        process.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.signal(signal.SIGCONT)

    @asynccontextmanager
    async def without(self, name: str) -> AsyncGenerator[None]:
        """Keep a service stopped while the body runs."""
        code = await self.terminate(name)
        try:
            yield
        finally:
            await self.start(name)
        if code != 0:
            raise RuntimeError(f"{name} ended with {code}:\n{self.processes[name].log_end()}")

    async def close(self) -> None:
        """Stop everything, those who take work in first; RuntimeError when one does not end well."""

        def rank(process: StackProcess) -> int:
            return STOP_RANKS[process.name.partition("-")[0]]

        faults: list[str] = []
        for _, group in groupby(sorted(self.processes.values(), key=rank), key=rank):
            tier = list(group)
            codes = await asyncio.gather(*(process.close() for process in tier))
            faults += [
                f"{process.name} ended with {code}:\n{process.log_end()}"
                for process, code in zip(tier, codes, strict=True)
                # nats-server 2.9 ends a SIGTERM with 1.
                if code != 0 and process.name not in BROKERS
            ]
        if faults:
            raise RuntimeError("\n".join(faults))


def _environment(
    folder: Path, secrets_dir: Path, model_dir: Path, nats_url: str, ports: Mapping[str, int]
) -> dict[str, str]:
    """Return what every service is told, as `parley up` tells it."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PARLEY_") and name not in _OWN_SETTINGS
    }
    return {
        **inherited,
        "NATS_URL": nats_url,
        "REDIS_URL": f"redis://{LOOPBACK}:{ports['redis']}",
        "PARLEY_DATA_DIR": str(folder / "data"),
        "PARLEY_SECRETS_DIR": str(secrets_dir),
        "PARLEY_NPU_MODEL_DIR": str(model_dir),
        "PARLEY_HOST": LOOPBACK,
        "PARLEY_ACCOUNTS_HASH_MEMORY_KIB": "8",
        "PARLEY_ACCOUNTS_HASH_PASSES": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _service(
    name: str, folder: Path, environment: Mapping[str, str], ports: Mapping[str, int]
) -> StackProcess:
    service = name.partition("-")[0]
    health_port = ports[health_of(name)]
    own = {"PARLEY_HEALTH_PORT": str(health_port), "PARLEY_PORT": str(ports.get(name, 0))}
    argv = (sys.executable, "-m", f"parley_{service}")
    return StackProcess(name, argv, {**environment, **own}, folder, http_probe(health_port))


@asynccontextmanager
async def open_stack(
    folder: Path,
    *,
    model_dir: Path,
    gateways: int = 1,
    services: Collection[str] = WORKERS,
    environment: Mapping[str, str] | None = None,
    nats_url: str | None = None,
    own: Mapping[str, Mapping[str, str]] | None = None,
) -> AsyncGenerator[Stack]:
    """Run nats-server, redis-server, `services` and gateways until the body ends.

    Args:
        folder: Holds data, secrets and logs.
        model_dir: A directory that holds the embedding model.
        gateways: How many gateway processes there are, named `gateway-0` and on.
        services: What runs besides accounts; their names are those of their packages.
        environment: Further settings for every service.
        nats_url: A bus that runs already; unset is a nats-server of the stack's own.
        own: Further settings of single services, by their names.
    """
    services = (*services, "accounts")
    edges = [f"gateway-{index}" for index in range(gateways)]
    probes = [health_of(name) for name in (*services, *edges)]
    ports = {name: free_port() for name in (*BROKERS, MONITOR, *edges, *probes)}
    data_dir, secrets_dir = folder / "data", folder / "secrets"
    data_dir.mkdir(parents=True)
    create_secrets(secrets_dir)
    bus_url = nats_url or f"nats://{LOOPBACK}:{ports['nats']}"
    stack = Stack(folder, owner_key=read_owner_key(secrets_dir) or "", nats_url=bus_url, ports=ports)
    settings = {**_environment(folder, secrets_dir, model_dir, bus_url, ports), **(environment or {})}
    brokers = {"redis": (redis_argv(data_dir, ports["redis"]), redis_probe(ports["redis"]))}
    if nats_url is None:
        monitor = ("-m", str(ports[MONITOR]))
        brokers["nats"] = ((*nats_argv(data_dir, ports["nats"]), *monitor), nats_probe(ports["nats"]))
    async with AsyncExitStack() as resources:
        resources.push_async_callback(stack.close)
        for name, (argv, probe) in brokers.items():
            stack.processes[name] = StackProcess(name, argv, settings, folder, probe)
        await stack.start(*brokers)
        for name in (*services, *edges):
            stack.processes[name] = _service(name, folder, {**settings, **(own or {}).get(name, {})}, ports)
        await stack.start(*services, *edges)
        yield stack
