"""What the processes of a stack hold: memory, descriptors, tasks, and what the bus keeps for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.resident_memory import MIB, resident_mib
from tests.integration.stack import BROKERS, Stack
from tests.plain_http import NO_CERTIFICATES

TASKS = "parley_asyncio_tasks"
OPEN_GAUGES = (
    "parley_turn_writers",
    "parley_turn_events_unacknowledged",
    "parley_turn_watches",
    "parley_turns_in_flight",
    "parley_turn_stops_open",
    "parley_jobs_running",
)
"""What a turn opens and its end closes; their sum is the column `open`."""


@dataclass(frozen=True)
class ProcessFootprint:
    """What one process and its children hold. A broker has no tasks and no connection of its own.

    Descriptors of SQLite files stand apart: they follow the largest number of connections there ever was.
    """

    rss_mib: float
    descriptors: int
    sockets: int
    databases: int = 0
    tasks: int = 0
    subscriptions: int = 0
    open: int = 0

    @property
    def counts(self) -> tuple[int, ...]:
        """What is to come back."""
        return (self.descriptors, self.sockets, self.tasks, self.subscriptions, self.open)


@dataclass(frozen=True)
class BusFootprint:
    """What nats-server holds; streams grow by what they are told to keep."""

    connections: int
    subscriptions: int
    consumers: int
    streams: int
    turn_events: int
    turn_events_mib: float

    @property
    def counts(self) -> tuple[int, ...]:
        """What is to come back exactly."""
        return (self.connections, self.subscriptions, self.consumers, self.streams)


@dataclass(frozen=True)
class Footprint:
    """A stack at one moment."""

    processes: Mapping[str, ProcessFootprint]
    bus: BusFootprint


async def footprint_of(stack: Stack) -> Footprint:
    """Measure every process of a stack."""
    async with httpx.AsyncClient(verify=NO_CERTIFICATES, trust_env=False, timeout=10) as client:

        async def ask(path: str) -> dict[str, Any]:
            return (await client.get(f"{stack.nats_monitor_url}{path}")).json()

        general, streams = await ask("/varz"), await ask("/jsz?streams=1&consumers=1")
        connections = (await ask("/connz?limit=1024"))["connections"]
        metrics = {
            name: _gauges((await client.get(stack.metrics_url(name))).text)
            for name in stack.processes
            if name not in BROKERS
        }
    if missing := {TASKS, *OPEN_GAUGES} - {gauge for gauges in metrics.values() for gauge in gauges}:
        raise RuntimeError(f"no service tells {missing}")
    details = [
        stream for account in streams.get("account_details", ()) for stream in account["stream_detail"]
    ]
    turn_events = next(stream["state"] for stream in details if stream["name"] == "TURN_EVENTS")
    bus = BusFootprint(
        connections=general["connections"],
        subscriptions=general["subscriptions"],
        consumers=streams["consumers"],
        streams=streams["streams"],
        turn_events=turn_events["messages"],
        turn_events_mib=turn_events["bytes"] / MIB,
    )
    held: dict[str, int] = {one.get("name", ""): int(one["subscriptions"]) for one in connections}
    processes = {
        name: process_footprint(
            process.pid, metrics.get(name, {}), 0 if name in BROKERS else held[process.instance]
        )
        for name, process in stack.processes.items()
    }
    return Footprint(processes, bus)


def process_footprint(pid: int, gauges: Mapping[str, float], subscriptions: int) -> ProcessFootprint:
    """Measure one process and its children."""
    family = _with_children(pid)
    links = [link for one in family for link in _descriptors(one)]
    databases = sum(".sqlite" in link for link in links)
    return ProcessFootprint(
        rss_mib=sum(_rss_mib(one) for one in family),
        descriptors=len(links) - databases,
        databases=databases,
        sockets=sum(link.startswith("socket:") for link in links),
        tasks=int(gauges.get(TASKS, 0)),
        subscriptions=subscriptions,
        open=int(sum(gauges.get(name, 0) for name in OPEN_GAUGES)),
    )


def _gauges(exposition: str) -> dict[str, float]:
    """Return each family's sum over its labels."""
    return {
        family.name: sum(sample.value for sample in family.samples)
        for family in text_string_to_metric_families(exposition)
        if family.type == "gauge"
    }


def _with_children(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for one in found:
        for listed in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += [int(child) for child in listed.read_text().split()]
            except OSError:
                continue
    return found


def _descriptors(pid: int) -> list[str]:
    """Return what the open descriptors of a process lead to."""
    links: list[str] = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except OSError:
            # Closed since it was listed.
            continue
    return links


def _rss_mib(pid: int) -> float:
    try:
        return resident_mib(pid)
    except OSError:
        return 0.0
