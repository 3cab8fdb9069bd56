"""Runs a schedule of client actions and faults against a cluster until it comes to rest, and judges."""

import asyncio
from dataclasses import dataclass

from tests.protocol.cluster import ALL_ROLES, Cluster
from tests.protocol.counting_model import GAP_S
from tests.protocol.planned_faults import Fault
from tests.protocol.turn_record import jobs_left, left, violations
from tests.protocol.virtual_time import run_virtually

REST_STEP_S = 0.25
REST_S = 3.0
LIMIT_S = 400.0


@dataclass(frozen=True)
class Start:
    turn: str
    gateway: str


@dataclass(frozen=True)
class Watch:
    """Watch from the start, or from where the turn's first viewer stands at that moment."""

    turn: str
    gateway: str
    from_start: bool = True


@dataclass(frozen=True)
class Cancel:
    turn: str
    gateway: str


@dataclass(frozen=True)
class Plan:
    """Let a fault meet the process's operation that comes as number `after`."""

    role: str
    after: int
    fault: Fault


@dataclass(frozen=True)
class Pause:
    for_s: float


Action = Start | Watch | Cancel | Plan | Pause


@dataclass
class Verdict:
    """What a schedule led to; `ended_s` is the longest that a viewer waited for the end."""

    violations: list[str]
    trace: list[str]
    met: int
    ended_s: float
    model_calls: int
    tool_calls: int
    outcomes: set[str]


def _act(cluster: Cluster, action: Start | Watch | Cancel | Plan) -> None:
    match action:
        case Start(turn, gateway):
            cluster.start_turn(turn, gateway)
        case Watch(turn, gateway, from_start):
            if turn in cluster.asked:
                first = next(one for one in cluster.viewers if one.turn == turn)
                cluster.watch_turn(turn, gateway, None if from_start else first)
        case Cancel(turn, gateway):
            if turn in cluster.asked:
                cluster.cancel_turn(turn, gateway)
        case Plan(role, after, fault):
            cluster.running[role].bus.plan(after, fault)


async def _come_to_rest(cluster: Cluster) -> None:
    """Wait until nothing is to be done for a while, or for as long as nothing healthy would take."""
    loop = asyncio.get_running_loop()
    limit_s, quiet_s = loop.time() + LIMIT_S, 0.0
    while loop.time() < limit_s and quiet_s < REST_S:
        await asyncio.sleep(REST_STEP_S)
        frozen = any(cluster.running[role].bus.process.is_frozen for role in ALL_ROLES)
        dead = any(cluster.running[role].bus.process.is_dead for role in ALL_ROLES)
        is_busy = frozen or dead or cluster.clients_at_work or jobs_left(cluster.network.bus) or left(cluster)
        quiet_s = 0.0 if is_busy else quiet_s + REST_STEP_S


async def _run(schedule: tuple[Action, ...], cluster: Cluster) -> Verdict:
    await cluster.start()
    await asyncio.sleep(0.5)
    for action in schedule:
        if isinstance(action, Pause):
            await asyncio.sleep(action.for_s)
        else:
            _act(cluster, action)
    await _come_to_rest(cluster)
    met = sum(process.has_met_fault for process in cluster.network.processes.values())
    ended_s = max(viewer.ended_s - viewer.began_s for viewer in cluster.viewers)
    return Verdict(
        violations(cluster),
        cluster.network.trace,
        met,
        ended_s,
        len(cluster.model.calls),
        len(cluster.shop.calls),
        {viewer.terminal for viewer in cluster.viewers},
    )


def run_schedule(
    *schedule: Action, can_continue: bool = False, latency_s: float = 0.0, gap_s: float = GAP_S, seed: int = 0
) -> Verdict:
    """Run a schedule on a cluster of its own, in virtual time; `seed` is of the chance of latencies."""
    return run_virtually(
        lambda: _run(
            schedule, Cluster(can_continue=can_continue, latency_s=latency_s, gap_s=gap_s, seed=seed)
        )
    )
