"""CPU a streamed piece in a language-model worker, by backend: `python -m benchmarks.deltas`.

From the upstream's bytes to the event on a real bus, in one process, without a window: each piece is an event
of its own. A further piece is the difference of long and short answers, without what a request costs. The
makers' own packages write the same events beside our readers of the wire.
"""

import argparse
import asyncio
import os
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from parley_cli.supervisor.brokers import nats_argv

from benchmarks.figures import median
from benchmarks.processes import BenchProcess, module, running
from benchmarks.stamped_text import Pace
from benchmarks.table import print_table, tell
from tests.conftest import free_port

POOLS = ("ollama", "openai", "anthropic", "openai-package", "anthropic-package")
STREAMS = 16
REACH_US = 60
GAPS_MS = {"one at a time": 2.0, "ten at a time": 0.0}
"""How the upstream writes: each piece alone, as models do, or ten together, as fast as they are taken."""


async def _pair(worker: BenchProcess, pool: str, gap_ms: float, short: int, long: int) -> float:
    """Return the CPU time of a further piece, in microseconds."""
    found = [
        await worker.ask("write", pool=pool, question=Pace(20, gap_ms, words).question, streams=STREAMS)
        for words in (short, long)
    ]
    further = found[1]["events"] - found[0]["events"]
    if further != STREAMS * (long - short):
        raise RuntimeError(f"{pool}: {further} further events, not {STREAMS * (long - short)}")
    return (found[1]["cpu_s"] - found[0]["cpu_s"]) * 1e6 / further


async def measure(worker: BenchProcess, *, is_quick: bool) -> list[dict[str, Any]]:
    """Have all ways take turns; the first round warms up."""
    rounds, short, long = (2, 50, 250) if is_quick else (5, 50, 550)
    found: dict[tuple[str, str], list[float]] = {}
    for index in range(rounds + 1):
        for shape, gap_ms in GAPS_MS.items():
            for pool in POOLS:
                tell(f"deltas: {pool}, {shape}, round {index}")
                us = await _pair(worker, pool, gap_ms, short, long)
                if index:
                    found.setdefault((pool, shape), []).append(us)
    rows: list[dict[str, Any]] = []
    for pool in POOLS:
        times = {shape: median(found[pool, shape]) for shape in GAPS_MS}
        is_ours = not pool.endswith("-package")
        verdict = ("reached" if max(times.values()) <= REACH_US else "missed") if is_ours else ""
        rows.append(
            {
                "backend": pool,
                **{f"us, {shape}": round(us, 1) for shape, us in times.items()},
                f"reach {REACH_US}": verdict,
            }
        )
    return rows


async def run(*, is_quick: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="parley-deltas-") as name:
        folder, port = Path(name), free_port()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(running("nats", nats_argv(folder, port), os.environ, folder))
            upstream = await stack.enter_async_context(
                running("upstream", module("upstream"), os.environ, folder, takes_commands=True)
            )
            environment = {
                **os.environ,
                "BENCH_NATS_URL": f"nats://127.0.0.1:{port}",
                "BENCH_UPSTREAM_URL": upstream.greeting["url"],
                "NO_PROXY": "*",
            }
            worker = await stack.enter_async_context(
                running("delta_worker", module("delta_worker"), environment, folder, takes_commands=True)
            )
            rows = await measure(worker, is_quick=is_quick)
    print_table(f"deltas: CPU of a worker a further piece, {STREAMS} answers at once, window 0", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    asyncio.run(run(is_quick=parser.parse_args().quick))


if __name__ == "__main__":
    main()
