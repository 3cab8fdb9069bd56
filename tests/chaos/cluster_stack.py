# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false
"""Three nats-servers on loopback that are one cluster, and a stack whose streams have three copies."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from parley_cli.bus_config import nats_authorization
from parley_cli.bus_secrets import OPERATOR, BusSecrets
from parley_cli.supervisor.brokers import require_program
from parley_cli.supervisor.readiness import nats_probe
from parley_messaging.nats_access import BusAccess

from tests.conftest import free_port
from tests.integration.stack import LOOPBACK, Stack, open_stack, secrets_of
from tests.integration.stack_process import StackProcess
from tests.integration.waiting import eventually
from tests.plain_http import NO_CERTIFICATES

NODES = 3
STACK = "stack"
ASK_S = 2.0
STEPS = 20
"""A leader that steps down is followed by any of the others: as many tries as this miss hardly ever."""


@dataclass(frozen=True)
class Ports:
    """Where one node listens."""

    clients: int
    routes: int
    monitor: int


class NatsCluster:
    """The nodes `nats-0` and on, which know the users of a stack; asks them who leads."""

    def __init__(self, folder: Path, ports: Sequence[Ports], users: BusSecrets) -> None:
        users.create()
        self._operator_nkey = users.nkey_file(OPERATOR)
        self.operator_access = BusAccess(nkey_file=self._operator_nkey)
        self.url = ",".join(f"nats://{LOOPBACK}:{port.clients}" for port in ports)
        self.nodes = {
            f"nats-{index}": StackProcess(
                f"nats-{index}",
                _argv(folder, index, ports, users),
                {},
                folder,
                nats_probe(ports[index].clients),
            )
            for index in range(len(ports))
        }
        self._ports = ports

    async def meta_leader(self) -> str | None:
        """Return the node that leads the cluster's own log; None while there is none."""
        async with httpx.AsyncClient(verify=NO_CERTIFICATES, timeout=ASK_S, trust_env=False) as client:
            for port in self._ports:
                try:
                    found = (await client.get(f"http://{LOOPBACK}:{port.monitor}/jsz")).json()
                except httpx.HTTPError:
                    continue
                if leader := found.get("meta_cluster", {}).get("leader"):
                    return leader
        return None

    async def is_led(self) -> bool:
        """Return whether the cluster takes new streams."""
        return await self.meta_leader() is not None

    async def leader(self, stream: str) -> str | None:
        """Return the node that leads a stream; None while there is none."""
        async with self.connected() as connection:
            try:
                cluster = (await connection.jetstream(timeout=ASK_S).stream_info(stream)).cluster
            except (TimeoutError, NatsError):
                return None
        return cluster.leader if cluster else None

    async def lead_with(self, node: str, streams: Sequence[str], *, leads: bool) -> None:
        """Have a node lead all of the streams, or none: whoever should not lead steps down until it is so."""
        async with self.connected() as connection:
            for stream in streams:
                for _ in range(STEPS):
                    await eventually(lambda stream=stream: self._has_leader(stream))
                    leader = await self.leader(stream)
                    if (leader == node) == leads:
                        break
                    await connection.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}", timeout=ASK_S)
                else:
                    raise RuntimeError(f"{stream} does not get the leader that is wanted")

    async def _has_leader(self, stream: str) -> bool:
        return await self.leader(stream) is not None

    async def are_led(self, streams: Sequence[str]) -> bool:
        """Return whether somebody leads each of the streams, and the cluster."""
        return all([await self._has_leader(stream) for stream in streams]) and await self.is_led()

    async def jobs_left(self, streams: Sequence[str]) -> int:
        """Return how many messages some streams hold."""
        async with self.connected() as connection:
            jetstream = connection.jetstream(timeout=ASK_S)
            return sum([(await jetstream.stream_info(stream)).state.messages for stream in streams])

    async def is_whole(self, streams: Sequence[str]) -> bool:
        """Return whether every copy of the streams and of their consumers has what its leader has."""
        async with self.connected() as connection:
            jetstream = connection.jetstream(timeout=ASK_S)
            try:
                clusters = [(await jetstream.stream_info(stream)).cluster for stream in streams]
                for stream in streams:
                    clusters += [info.cluster for info in await jetstream.consumers_info(stream)]
            except (TimeoutError, NatsError):
                return False
        return all(
            cluster is not None
            and cluster.leader
            and len(cluster.replicas or ()) == NODES - 1
            and all(peer.current for peer in cluster.replicas or ())
            for cluster in clusters
        )

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[Client]:
        """Open a connection to whichever node answers."""

        async def note(_: Exception) -> None:
            """Nodes are killed on purpose: what that breaks is not worth a traceback."""

        connection = await nats.connect(
            self.url.split(","),
            error_cb=note,
            max_reconnect_attempts=-1,
            nkeys_seed=str(self._operator_nkey),
        )
        try:
            yield connection
        finally:
            await connection.close()


def _argv(folder: Path, index: int, ports: Sequence[Ports], users: BusSecrets) -> tuple[str, ...]:
    """Write the configuration of one node and return its command line."""
    own = ports[index]
    routes = ", ".join(f'"nats-route://{LOOPBACK}:{port.routes}"' for port in ports if port is not own)
    path = folder / f"nats-{index}.conf"
    path.write_text(
        f"""server_name: nats-{index}
host: {LOOPBACK}
port: {own.clients}
http: "{LOOPBACK}:{own.monitor}"
max_payload: 8MB
max_pending: 128MB
write_deadline: "10s"
jetstream {{ store_dir: "{folder / f"store-{index}"}", max_memory_store: 256MB }}
cluster {{ name: parley, host: {LOOPBACK}, port: {own.routes}, routes: [{routes}] }}
{nats_authorization(users.public_keys())}""",
        encoding="utf-8",
    )
    return (require_program("nats-server"), "-c", str(path))


@asynccontextmanager
async def open_cluster(folder: Path, *, started: int = NODES) -> AsyncGenerator[NatsCluster]:
    """Run a cluster until the body ends; when all of its nodes are started, it has a leader by then."""
    ports = [Ports(free_port(), free_port(), free_port()) for _ in range(NODES)]
    cluster = NatsCluster(folder, ports, BusSecrets(secrets_of(folder / STACK)))
    async with AsyncExitStack() as resources:
        for node in cluster.nodes.values():
            resources.push_async_callback(node.close)
        for node in list(cluster.nodes.values())[:started]:
            await node.start()
        if started == NODES:
            await eventually(cluster.is_led)
        yield cluster


@dataclass(frozen=True)
class ClusterStack:
    """A stack and the cluster that is its bus."""

    cluster: NatsCluster
    stack: Stack


@asynccontextmanager
async def open_cluster_stack(folder: Path, *, ollama_url: str) -> AsyncGenerator[ClusterStack]:
    """Run two gateways, two language-model workers and memory on a cluster."""
    async with (
        open_cluster(folder) as cluster,
        open_stack(
            folder / STACK,
            model_dir=folder,
            gateways=2,
            services=("llm-0", "llm-1", "memory"),
            environment={
                "OLLAMA_HOST": ollama_url,
                "PARLEY_LLM_SLOTS": "128",
                "PARLEY_NATS_REPLICAS": str(NODES),
                "PARLEY_BUS_START_S": "30",
            },
            nats_url=cluster.url,
            is_nats_locked=True,
        ) as stack,
    ):
        yield ClusterStack(cluster, stack)
