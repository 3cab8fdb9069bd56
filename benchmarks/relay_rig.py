"""What the benchmarks of relaying run on: one bus, one writer, one process of clients, and who relays.

- `floor`: `relay_floor.py`.
- `gateway`: the real gateway; clients resume turns that another process runs and writes.
- `gateway+runner`: the same, but the turns were started here, so that it also runs them.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from parley_cli.owner_secrets import create_secrets
from parley_cli.supervisor.brokers import nats_argv
from parley_contracts.accounts import LOCAL_OWNER
from parley_gateway.identity import Secrets
from parley_gateway.ids import OwnedIds

from benchmarks import relay_floor
from benchmarks.load import Load
from benchmarks.processes import BenchProcess, module, running
from benchmarks.readiness import http_is_ready, nats_is_ready
from benchmarks.relay_publisher import MODEL
from tests.conftest import free_port

SETTLE_S = 0.3
"""Between opening the sockets and the load: watches of resumed turns read the empty log meanwhile."""

LATE_S = 30.0


@dataclass(frozen=True, slots=True)
class Relay:
    """Who relays: a process, where it listens, and how its clients come to their turns."""

    name: str
    process: BenchProcess
    port: int
    home: str
    opens_by: Literal["subscribing", "resuming", "starting"]


@dataclass(frozen=True, slots=True)
class RelayRig:
    """What is shared by all relays."""

    secrets: Secrets
    nats: BenchProcess
    publisher: BenchProcess
    clients: BenchProcess

    @property
    def shared(self) -> tuple[BenchProcess, ...]:
        """The processes whose CPU is told but not compared."""
        return (self.nats, self.publisher, self.clients)


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run of one contender: microseconds of CPU a relayed frame, of it and of everybody else."""

    relay: str
    us_a_frame: float
    others_us_a_frame: dict[str, float]
    took_s: float
    exact: int
    merged: int
    wrong: int
    late: int
    complaints: list[str]


@asynccontextmanager
async def open_relay_rig(
    folder: Path, ws: str, patches: dict[str, str]
) -> AsyncGenerator[tuple[RelayRig, list[Relay]]]:
    """Start everything; `patches` are further gateways: a name, and a folder put before the packages."""
    nats_port = free_port()
    nats_url = f"nats://127.0.0.1:{nats_port}"
    create_secrets(folder / "secrets")
    (folder / "data").mkdir()
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    environment = {**bare, "NATS_URL": nats_url, "PARLEY_DATA_DIR": str(folder)}
    async with AsyncExitStack() as stack:

        async def run(name: str, argv: tuple[str, ...], port: int | None, **extra: str) -> BenchProcess:
            found = await stack.enter_async_context(
                running(name, argv, {**environment, **extra}, folder, takes_commands=port is None)
            )
            if port is not None:
                await (nats_is_ready if name == "nats-server" else http_is_ready)(found, port)
            return found

        nats = await run("nats-server", nats_argv(folder / "data", nats_port), nats_port)
        publisher = await run("publisher", module("relay_publisher", "--nats-url", nats_url), None)
        clients = await run("clients", module("relay_clients"), None)
        accounts = (module("relay_floor")[0], "-m", "parley_accounts")
        await run("accounts", accounts, health := free_port(), PARLEY_HEALTH_PORT=str(health))
        port = free_port()
        arguments = ("--nats-url", nats_url, "--port", str(port), "--ws", ws)
        floor = await run("floor", module("relay_floor", *arguments), port)
        relays = [Relay("floor", floor, port, relay_floor.HOME, "subscribing")]
        for name, path in {"gateway": "", **patches}.items():
            port = free_port()
            extra = {
                "PARLEY_PORT": str(port),
                "PARLEY_INSTANCE": name,
                **({"PYTHONPATH": path} if path else {}),
            }
            argv = (module("relay_floor")[0], "-m", "parley_gateway")
            gateway = await run(name, argv, port, **extra)
            relays.append(Relay(name, gateway, port, name, "resuming"))
            if not patches:
                relays.append(Relay(f"{name}+runner", gateway, port, name, "starting"))
        yield RelayRig(Secrets.read(folder / "secrets"), nats, publisher, clients), relays


async def _open(rig: RelayRig, relay: Relay, load: Load) -> int:
    """Open the sockets and their turns; return the epoch that is written."""
    turns = [uuid4().hex for _ in range(load.streams)]
    key = rig.secrets.owner_key
    if relay.opens_by == "starting":
        frame: dict[str, Any] = {"type": "start_turn", "text": "Go on.", "collections": [], "model": MODEL}
        await rig.clients.ask("open", port=relay.port, key=key, turns=turns, frame=frame)
        return (await rig.publisher.ask("await_jobs", count=load.streams))["epoch"]
    is_gateway = relay.opens_by == "resuming"
    ids = OwnedIds(rig.secrets.turn_key)
    on_bus = {turn: ids.turn_id(LOCAL_OWNER, turn) if is_gateway else turn for turn in turns}
    await rig.publisher.ask("prepare", home=relay.home, turns=on_bus, claims=is_gateway)
    frame = {"type": "resume_turn", "after_seq": 0}
    await rig.clients.ask("open", port=relay.port, key=key, turns=turns, frame=frame)
    return 1


async def run_once(rig: RelayRig, relay: Relay, load: Load) -> RunResult:
    """Relay one load; only the time in which frames flow is measured."""
    epoch = await _open(rig, relay, load)
    await asyncio.sleep(SETTLE_S)
    everybody = (relay.process, *rig.shared)
    before_s = [process.cpu_s() for process in everybody]
    ended, _ = await asyncio.gather(
        rig.clients.ask("expect", timeout_s=LATE_S + load.deltas * load.gap_ms / 1000),
        rig.publisher.ask("publish", **asdict(load)),
    )
    spent_us = [
        (process.cpu_s() - before) * 1e6 / load.frames
        for process, before in zip(everybody, before_s, strict=True)
    ]
    checked = await rig.clients.ask("close", epoch=epoch, deltas=load.deltas)
    await rig.publisher.ask("finish")
    others = {process.name: spent for process, spent in zip(rig.shared, spent_us[1:], strict=True)}
    return RunResult(
        relay.name,
        spent_us[0],
        others,
        ended["took_s"],
        checked["exact"],
        checked["merged"],
        checked["wrong"],
        ended["late"],
        checked["complaints"],
    )
