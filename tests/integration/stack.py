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
from parley_cli.bus_config import BrokerTls
from parley_cli.bus_secrets import OPERATOR, BusSecrets
from parley_cli.owner_secrets import create_secrets, read_owner_key
from parley_cli.supervisor.broker_access import BrokerAccess, own_nats_url, own_redis_url
from parley_cli.supervisor.brokers import nats_argv, redis_argv
from parley_cli.supervisor.readiness import http_probe, nats_probe, redis_probe
from parley_cli.supervisor.stack import STOP_RANKS
from parley_messaging.nats_access import BusAccess

from tests.conftest import free_port
from tests.integration.chat_client import ChatClient, open_socket
from tests.integration.kept_tables import KeptTables, open_tables
from tests.integration.stack_process import StackProcess
from tests.plain_http import NO_CERTIFICATES

LOOPBACK = "127.0.0.1"
BROKERS = ("nats", "redis")
MONITOR = "nats-monitor"
WORKERS = ("llm", "npu", "rag", "memory", "browser")
HTTP_TIMEOUT_S = 20.0
# What the tests' own surroundings set is not to reach the services.
_OWN_SETTINGS = (
    "NATS_URL",
    "NATS_NKEY_FILE",
    "NATS_NKEY_DIR",
    "NATS_CA_FILE",
    "REDIS_URL",
    "QDRANT_URL",
    "DATABASE_URL",
    "OLLAMA_HOST",
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_API_KEY",
)


def secrets_of(folder: Path) -> Path:
    """Return where a stack keeps its secrets."""
    return folder / "secrets"


def health_of(name: str) -> str:
    """Return what the port of a service's probes goes by."""
    return f"{name}-health"


class Stack:
    """The processes of a running stack, and clients for its gateways, which count from 0."""

    def __init__(
        self,
        folder: Path,
        *,
        owner_key: str,
        ports: Mapping[str, int],
        access: BrokerAccess,
        tables: KeptTables,
    ) -> None:
        self.folder = folder
        self.tables = tables
        self.owner_key = owner_key
        self.nats_url = access.nats_url
        self.access = access
        self.processes: dict[str, StackProcess] = {}
        self._ports = ports

    @property
    def operator_nkey(self) -> Path | None:
        """The seed of the user who may do anything on the stack's bus; None where it is open."""
        return self.access.users.nkey_file(OPERATOR) if self.access.nkey_dir else None

    @property
    def operator_access(self) -> BusAccess:
        """The same for a bus of our own kind."""
        tls = self.access.tls
        return BusAccess(nkey_file=self.operator_nkey, ca_file=tls.ca_file if tls else None)

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
            verify=NO_CERTIFICATES,
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


def _environment(folder: Path, secrets_dir: Path, model_dir: Path, access: BrokerAccess) -> dict[str, str]:
    """Return what every service is told, as `parley up` tells it."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PARLEY_") and name not in _OWN_SETTINGS
    }
    return {
        **inherited,
        "NATS_URL": access.nats_url,
        "REDIS_URL": access.redis_url,
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


def _made_secrets(folder: Path) -> BusSecrets:
    """Make what `parley up` makes at its first start, and return the users of the bus."""
    create_secrets(folder)
    users = BusSecrets(folder)
    users.create()
    return users


def _free_ports(services: Collection[str], edges: Collection[str]) -> dict[str, int]:
    probes = [health_of(name) for name in (*services, *edges)]
    return {name: free_port() for name in (*BROKERS, MONITOR, *edges, *probes)}


@asynccontextmanager
async def open_stack(
    folder: Path,
    *,
    model_dir: Path,
    gateways: int = 1,
    services: Collection[str] = WORKERS,
    environment: Mapping[str, str] | None = None,
    nats_url: str | None = None,
    is_nats_locked: bool = False,
    own: Mapping[str, Mapping[str, str]] | None = None,
    tls: BrokerTls | None = None,
) -> AsyncGenerator[Stack]:
    """Run nats-server, redis-server, `services` and gateways until the body ends.

    Args:
        folder: Holds data, secrets and logs.
        model_dir: A directory that holds the embedding model.
        gateways: How many gateway processes there are, named `gateway-0` and on.
        services: What runs besides accounts; their names are those of their packages.
        environment: Further settings for every service.
        nats_url: A bus that runs already; unset is a nats-server of the stack's own.
        is_nats_locked: Whether that bus knows the users whose seeds are among the stack's secrets.
        own: Further settings of single services, by their names.
        tls: Certificates of the stack's own brokers; unset, they take plain connections.
    """
    services = (*services, "accounts")
    edges = [f"gateway-{index}" for index in range(gateways)]
    ports = _free_ports(services, edges)
    data_dir, secrets_dir = folder / "data", secrets_of(folder)
    data_dir.mkdir(parents=True)
    users = _made_secrets(secrets_dir)
    access = BrokerAccess(
        nats_url=nats_url or own_nats_url(ports["nats"], tls),
        redis_url=own_redis_url(ports["redis"], tls),
        users=users,
        tls=tls,
        nkey_dir=users.folder if nats_url is None or is_nats_locked else None,
        has_own_redis=True,
    )
    settings = {**_environment(folder, secrets_dir, model_dir, access), **(environment or {})}
    redis = redis_argv(data_dir, ports["redis"], users, tls)
    brokers = {"redis": (redis, redis_probe(ports["redis"], tls.ca_file if tls else None))}
    if nats_url is None:
        nats = (*nats_argv(data_dir, ports["nats"], users, tls), "-m", str(ports[MONITOR]))
        brokers["nats"] = (nats, nats_probe(ports["nats"]))
    async with AsyncExitStack() as resources:
        tables = resources.enter_context(open_tables(data_dir))
        owner_key = read_owner_key(secrets_dir) or ""
        stack = Stack(folder, owner_key=owner_key, ports=ports, access=access, tables=tables)
        resources.push_async_callback(stack.close)
        for name, (argv, probe) in brokers.items():
            stack.processes[name] = StackProcess(name, argv, settings, folder, probe)
        await stack.start(*brokers)
        for name in (*services, *edges):
            service = name.partition("-")[0]
            proof = access.of_service(service)
            environ = {**settings, **tables.settings_of(service), **proof, **(own or {}).get(name, {})}
            stack.processes[name] = _service(name, folder, environ, ports)
        await stack.start(*services, *edges)
        yield stack
