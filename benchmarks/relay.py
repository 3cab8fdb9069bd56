"""Gateway CPU a relayed token, against the floor under the same load shape, in interleaved runs.

The floor sends each frame by itself; a gateway that joins what waits for a socket may be below it.
"""

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.load import Load
from benchmarks.relay_rig import Relay, RelayRig, RunResult, open_relay_rig, run_once
from benchmarks.table import print_table, tell

FULL = (Load("bursts", streams=64, deltas=600), Load("paced", streams=100, deltas=40, gap_ms=50))
QUICK = (Load("bursts", streams=64, deltas=300), Load("paced", streams=100, deltas=30, gap_ms=50))


def _summary(load: Load, contender: str, runs: list[RunResult], floor: list[RunResult]) -> dict[str, Any]:
    def median(values: list[float]) -> float:
        return round(statistics.median(values), 2)

    ratios = [run.us_a_frame / base.us_a_frame for run, base in zip(runs, floor, strict=True)]
    exact, wanted = sum(run.exact + run.merged for run in runs), load.streams * len(runs)
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
    rig: RelayRig, contenders: Sequence[Relay], load: Load, repeats: int
) -> dict[str, list[RunResult]]:
    """Return the runs of each contender; the first round warms caches and allocators and is not counted."""
    found: dict[str, list[RunResult]] = {contender.name: [] for contender in contenders}
    for repeat in range(repeats + 1):
        tell(f"relay: {load.name}, round {repeat}")
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
    repeats = 2 if is_quick else 5
    runs: dict[str, list[RunResult]] = {}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        async with open_relay_rig(Path(name), ws, patches or {}) as (rig, contenders):
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
