"""Gateway CPU a relayed token, against the floor under the same load shape, in interleaved runs.

Three contenders relay the same bytes from the bus to as many sockets:
- `floor`: `relay_floor.py`.
- `gateway`: the real gateway; clients resume turns that another process runs and writes.
- `gateway+runner`: the same, but the turns were started here, so that it also runs them.

The floor sends each frame by itself; a gateway that joins what waits for a socket may be below it.
"""

import asyncio
import os
import statistics
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from parley_cli.owner_secrets import create_secrets
from parley_cli.supervisor.brokers import nats_argv
from parley_gateway.identity import LOCAL_OWNER, Secrets
from parley_gateway.ids import OwnedIds

from benchmarks import relay_floor
from benchmarks.load import Load
from benchmarks.processes import BenchProcess, module, running
from benchmarks.readiness import http_is_ready, nats_is_ready
from benchmarks.relay_publisher import MODEL
from benchmarks.table import print_table
from tests.conftest import free_port

SETTLE_S = 0.3
"""Between opening the sockets and the load: watches of resumed turns read the empty log meanwhile."""

LATE_S = 30.0

FULL = (Load("bursts", streams=64, deltas=1000), Load("paced", streams=100, deltas=100, gap_ms=50))
QUICK = (Load("bursts", streams=64, deltas=300), Load("paced", streams=100, deltas=40, gap_ms=50))


@dataclass(frozen=True, slots=True)
class Contender:
    """Who relays: a process, where it listens, and how its clients come to their turns."""

    name: str
    process: BenchProcess
    port: int
    home: str
    opens_by: Literal["subscribing", "resuming", "starting"]


@dataclass(frozen=True, slots=True)
class Rig:
    """What is shared by all contenders."""

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

    contender: str
    us_a_frame: float
    others_us_a_frame: dict[str, float]
    took_s: float
    exact: int
    wrong: int
    late: int


@asynccontextmanager
async def _rig(folder: Path, ws: str, patches: dict[str, str]) -> AsyncGenerator[tuple[Rig, list[Contender]]]:
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
        port = free_port()
        arguments = ("--nats-url", nats_url, "--port", str(port), "--ws", ws)
        floor = await run("floor", module("relay_floor", *arguments), port)
        contenders = [Contender("floor", floor, port, relay_floor.HOME, "subscribing")]
        for name, path in {"gateway": "", **patches}.items():
            port = free_port()
            extra = {
                "PARLEY_PORT": str(port),
                "PARLEY_INSTANCE": name,
                **({"PYTHONPATH": path} if path else {}),
            }
            argv = (module("relay_floor")[0], "-m", "parley_gateway")
            gateway = await run(name, argv, port, **extra)
            contenders.append(Contender(name, gateway, port, name, "resuming"))
            if not patches:
                contenders.append(Contender(f"{name}+runner", gateway, port, name, "starting"))
        yield Rig(Secrets.read(folder / "secrets"), nats, publisher, clients), contenders


async def _open(rig: Rig, contender: Contender, load: Load) -> int:
    """Open the sockets and their turns; return the epoch that is written."""
    turns = [uuid4().hex for _ in range(load.streams)]
    key = rig.secrets.owner_key
    if contender.opens_by == "starting":
        frame: dict[str, Any] = {"type": "start_turn", "text": "Go on.", "collections": [], "model": MODEL}
        await rig.clients.ask("open", port=contender.port, key=key, turns=turns, frame=frame)
        return (await rig.publisher.ask("await_jobs", count=load.streams))["epoch"]
    is_gateway = contender.opens_by == "resuming"
    ids = OwnedIds(rig.secrets.turn_key)
    on_bus = {turn: ids.turn_id(LOCAL_OWNER, turn) if is_gateway else turn for turn in turns}
    await rig.publisher.ask("prepare", home=contender.home, turns=on_bus, claims=is_gateway)
    frame = {"type": "resume_turn", "after_seq": 0}
    await rig.clients.ask("open", port=contender.port, key=key, turns=turns, frame=frame)
    return 1


async def run_once(rig: Rig, contender: Contender, load: Load) -> RunResult:
    """Relay one load; only the time in which frames flow is measured."""
    epoch = await _open(rig, contender, load)
    await asyncio.sleep(SETTLE_S)
    everybody = (contender.process, *rig.shared)
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
        contender.name,
        spent_us[0],
        others,
        ended["took_s"],
        checked["exact"],
        checked["wrong"],
        ended["late"],
    )


def _summary(load: Load, contender: str, runs: list[RunResult], floor: list[RunResult]) -> dict[str, Any]:
    def median(values: list[float]) -> float:
        return round(statistics.median(values), 2)

    ratios = [run.us_a_frame / base.us_a_frame for run, base in zip(runs, floor, strict=True)]
    exact, wanted = sum(run.exact for run in runs), load.streams * len(runs)
    return {
        "load": load.name,
        "relay": contender,
        "us a token": median([run.us_a_frame for run in runs]),
        "ratio": median(ratios),
        "ratios": f"{min(ratios):.2f}-{max(ratios):.2f}",
        **{name: median([run.others_us_a_frame[name] for run in runs]) for name in runs[0].others_us_a_frame},
        "s": median([run.took_s for run in runs]),
        "exact": f"{exact}/{wanted}",
    }


async def _run_in_turn(
    rig: Rig, contenders: Sequence[Contender], load: Load, repeats: int
) -> dict[str, list[RunResult]]:
    """Return the runs of each contender; the first round warms caches and allocators and is not counted."""
    found: dict[str, list[RunResult]] = {contender.name: [] for contender in contenders}
    for repeat in range(repeats + 1):
        for contender in contenders:
            result = await run_once(rig, contender, load)
            if repeat:
                found[contender.name].append(result)
    return found


async def measure(
    *, is_quick: bool, ws: str = "wsproto", patches: dict[str, str] | None = None, only: str = ""
) -> dict[str, Any]:
    """Run all contenders in turn, again and again, and return runs and medians."""
    loads = [load for load in (QUICK if is_quick else FULL) if only in ("", load.name)]
    repeats = 3 if is_quick else 7
    runs: dict[str, list[RunResult]] = {}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        async with _rig(Path(name), ws, patches or {}) as (rig, contenders):
            for load in loads:
                found = await _run_in_turn(rig, contenders, load, repeats)
                rows += [_summary(load, name, found[name], found["floor"]) for name in found]
                runs.update({f"{load.name} {name}": result for name, result in found.items()})
    print_table("relay: CPU a token, microseconds", rows)
    return {
        "loads": [asdict(load) for load in loads],
        "ws": ws,
        "rows": rows,
        "runs": {name: [asdict(run) for run in results] for name, results in runs.items()},
    }
