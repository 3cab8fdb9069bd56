"""CPU a streamed token from the upstream to the client, in bursts: all of Parley beside its peers.

The upstream writes as fast as it is read. Every contender has the same 64 answers at once, in rounds.
"""

from typing import Any

from benchmarks.contenders import Contender
from benchmarks.figures import median
from benchmarks.rig import Rig, own_total, spent
from benchmarks.stamped_text import Pace
from benchmarks.table import print_table, tell

STREAMS = 64
LATE_S = 60.0


async def _burst(rig: Rig, contender: Contender, words: int) -> dict[str, Any]:
    question = Pace(ttft_ms=50, gap_ms=0, words=words).question
    async with rig.chats(contender, "burst", STREAMS):
        before_s = rig.cpu_s(contender)
        await rig.clients.ask("ask", group="burst", question=question, count=STREAMS, per_s=0)
        ended = await rig.clients.ask("wait", group="burst", timeout_s=LATE_S)
        us = spent(before_s, rig.cpu_s(contender), STREAMS * words)
        answers = (await rig.clients.ask("close", group="burst"))["answers"]
    exact = sum(answer["is_exact"] for answer in answers)
    return {"us": us, "took_s": ended["took_s"], "exact": exact, "late": ended["late"]}


def _row(contender: Contender, runs: list[dict[str, Any]], words: int) -> dict[str, Any]:
    def of(process: str) -> float:
        return median([run["us"][process] for run in runs])

    own = median([own_total(contender, run["us"]) for run in runs])
    parts = ", ".join(
        f"{name} {of(name):.1f}" for name in contender.processes if len(contender.processes) > 1
    )
    return {
        "relay": contender.name,
        "us a token": round(own, 1),
        "tokens/s a CPU": round(1e6 / own) if own else "-",
        "upstream": round(of("upstream"), 1),
        "clients": round(of("clients"), 1),
        "s": round(median([run["took_s"] for run in runs]), 2),
        "exact": f"{sum(run['exact'] for run in runs)}/{STREAMS * len(runs)}",
        "late": sum(run["late"] for run in runs),
        "of which": parts,
    }


async def measure(rig: Rig, *, is_quick: bool) -> dict[str, Any]:
    """Run rounds; the first one warms up and is not counted."""
    words, rounds = (100, 1) if is_quick else (200, 3)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in rig.contenders}
    for index in range(rounds + 1):
        for name in tuple(runs):
            contender = rig.contenders[name]
            tell(f"bursts: {name}, round {index}")
            try:
                found = await _burst(rig, contender, words)
            except Exception as error:  # noqa: BLE001 - one that fails must not take the others' rows
                rig.fail(contender, "bursts", error)
                del runs[name]
            else:
                runs[name] += [found] if index else []
    rows = [_row(rig.contenders[name], found, words) for name, found in runs.items()]
    print_table(
        f"bursts: CPU a streamed token, upstream to client, {STREAMS} answers of {words} words at once,"
        f" median of {rounds}",
        rows,
    )
    return {"words": words, "rows": rows, "runs": runs}
