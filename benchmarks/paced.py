"""Very many paced streams on one gateway process, fed by a writer on the bus: complete, exact, in time?"""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.load import Load
from benchmarks.relay_rig import Relay, RelayRig, RunResult, open_relay_rig, run_once
from benchmarks.table import print_table, tell

RELAYS = ("floor", "gateway")


def _loads(is_quick: bool) -> tuple[Load, ...]:
    deltas = 60 if is_quick else 200
    loads = tuple(Load(f"{streams}", streams, deltas, gap_ms=50) for streams in (1000, 2000))
    return loads[:1] if is_quick else loads


def _row(load: Load, run: RunResult) -> dict[str, Any]:
    def percent(us_a_frame: float) -> int:
        return round(us_a_frame * load.frames / run.took_s / 1e4)

    return {
        "streams": load.streams,
        "relay": run.relay,
        "exact": f"{run.exact + run.merged}/{load.streams}",
        "of which merged": run.merged,
        "late": run.late,
        "s": round(run.took_s, 2),
        "s planned": load.deltas * load.gap_ms / 1000,
        "us a token": round(run.us_a_frame, 2),
        "CPU %": percent(run.us_a_frame),
        **{f"{name} %": percent(us) for name, us in run.others_us_a_frame.items()},
    }


async def _run(rig: RelayRig, relays: list[Relay], load: Load) -> list[dict[str, Any]]:
    tell(f"paced: {load.name} streams")
    rows: list[dict[str, Any]] = []
    for relay in relays:
        run = await run_once(rig, relay, load)
        rows.append(_row(load, run))
        for complaint in run.complaints:
            tell(f"wrong: {relay.name}: {complaint}")
    return rows


async def measure(*, is_quick: bool) -> dict[str, Any]:
    """Run each load on the floor and on the gateway."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        async with open_relay_rig(Path(name), "wsproto", {}) as (rig, relays):
            wanted = [relay for relay in relays if relay.name in RELAYS]
            for load in _loads(is_quick):
                rows += await _run(rig, wanted, load)
    print_table(
        "paced: streams of 20 tokens/s each through one process, window 0, fed by a writer on the bus;"
        " CPU % of one core, of the relay and of everybody else",
        rows,
    )
    return {"loads": [asdict(load) for load in _loads(is_quick)], "rows": rows}
