"""Three nats-servers, three copies of each stream: answers go on when a node is killed, the leader too."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio
from parley_gateway.identity import Secrets
from parley_gateway.ids import OwnedIds
from parley_messaging.nats_bus import NatsBus

from tests.chaos.cluster_stack import ClusterStack, NatsCluster, open_cluster, open_cluster_stack
from tests.chaos.kill_report import Report, printed_table
from tests.chaos.kill_run import KillRun, Site, run_kill
from tests.chaos.scale import IS_FULL
from tests.chaos.turn_record import TurnRecords
from tests.fakes.ollama_server import OllamaFake
from tests.integration.waiting import eventually
from tests.stack_marks import STACK_WITHOUT_MODEL

pytestmark = [pytest.mark.chaos, *STACK_WITHOUT_MODEL]

SEED = 21
STREAMS = ("TURN_EVENTS", "TURN_PEN", "TURNS", "LLM_JOBS")
WHOLE_S = 60.0
WAITED_S = 3.0
LEGEND = """follower: a node that leads nothing. events-leader: one that leads the turns' events, and not the
cluster. leader-of-all: the one that leads the cluster and every stream of turns."""


@pytest.fixture(scope="module")
def report() -> Generator[Report]:
    """Takes the row of each scenario; the table is printed when all are over."""
    title = f"test_cluster: one of three nats-servers is killed in the middle of answers (seed {SEED})"
    with printed_table(title, LEGEND) as take:
        yield take


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replicated(
    tmp_path_factory: pytest.TempPathFactory, ollama: OllamaFake
) -> AsyncGenerator[ClusterStack]:
    """A stack on a cluster."""
    async with open_cluster_stack(tmp_path_factory.mktemp("cluster"), ollama_url=ollama.url) as found:
        yield found


async def follower_of(cluster: NatsCluster) -> str:
    """Return a node that leads nothing."""
    meta = await cluster.meta_leader()
    node = next(name for name in cluster.nodes if name != meta)
    await cluster.lead_with(node, STREAMS, leads=False)
    return node


async def events_leader_of(cluster: NatsCluster) -> str:
    """Return a node that leads the turn events, and not the cluster."""
    meta = await cluster.meta_leader()
    node = next(name for name in cluster.nodes if name != meta)
    await cluster.lead_with(node, ["TURN_EVENTS"], leads=True)
    return node


async def leader_of(cluster: NatsCluster) -> str:
    """Return a node that leads the cluster and every stream of turns."""
    node = await cluster.meta_leader()
    assert node is not None
    await cluster.lead_with(node, STREAMS, leads=True)
    return node


VICTIMS = {"follower": follower_of, "events-leader": events_leader_of, "leader-of-all": leader_of}
NAMES = list(VICTIMS) if IS_FULL else ["leader-of-all"]


@pytest.mark.parametrize("name", NAMES)
async def test_answers_go_on_when_a_node_is_killed(
    replicated: ClusterStack, ollama: OllamaFake, report: Report, name: str
) -> None:
    cluster, stack = replicated.cluster, replicated.stack
    await eventually(lambda: cluster.is_whole(STREAMS), within_s=WHOLE_S)
    victim = cluster.nodes[await VICTIMS[name](cluster)]

    async def kill(_: TurnRecords) -> set[str]:
        assert await victim.kill() == -signal.SIGKILL
        return set()

    async def revive() -> None:
        # It comes back when the others have settled who leads without it.
        await eventually(lambda: cluster.are_led(STREAMS), within_s=WHOLE_S)
        await victim.start()

    run = KillRun(
        name=name,
        site=Site(
            [stack.url(0), stack.url(1)],
            stack.headers,
            stack.nats_url,
            stack.operator_nkey,
            OwnedIds(Secrets.read(stack.folder / "secrets").turn_key),
        ),
        fake=ollama,
        random=Random(f"{SEED} {name}"),
        collections=[],
    )
    row, faults = await run_kill(run, is_at_first=False, kill=kill, revive=revive)
    report(row)
    assert not faults, "\n".join(faults)
    await eventually(lambda: cluster.is_whole(STREAMS), within_s=WHOLE_S)
    assert await cluster.jobs_left(["TURNS", "LLM_JOBS"]) == 0


async def test_a_start_waits_for_a_cluster_without_a_leader_and_with_too_few_nodes(tmp_path: Path) -> None:
    async with open_cluster(tmp_path, started=1) as cluster:
        first, *others = cluster.nodes.values()
        assert first.is_running
        bus = NatsBus(
            cluster.url,
            name="early",
            replicas=len(cluster.nodes),
            start_timeout_s=WHOLE_S,
            access=cluster.operator_access,
        )
        async with asyncio.TaskGroup() as tasks:
            connecting = tasks.create_task(bus.connect())
            for node in others:
                # One node has no leader; two have one, but no place for three copies.
                await asyncio.wait([connecting], timeout=WAITED_S)
                assert not connecting.done()
                await node.start()
        try:
            assert await cluster.leader("TURN_EVENTS") is not None
        finally:
            await bus.close()
