"""CPU a streamed token from the upstream to the client, in bursts: all of Parley beside its peers.

The upstream writes as fast as it is read. Every contender has the same 64 answers at once, short ones and
long ones in turn: what a further token costs is the difference of the two, without what a request costs.
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
        us = spent(before_s, rig.cpu_s(contender), 1)
        answers = (await rig.clients.ask("close", group="burst"))["answers"]
    exact = sum(answer["is_exact"] for answer in answers)
    return {"us": us, "took_s": ended["took_s"], "exact": exact, "late": ended["late"]}


async def _pair(rig: Rig, contender: Contender, short: int, long: int) -> dict[str, Any]:
    """Return a burst of long answers, with what each process took a token, and a further token, of them."""
    base, run = await _burst(rig, contender, short), await _burst(rig, contender, long)
    further = {name: (us - base["us"][name]) / (STREAMS * (long - short)) for name, us in run["us"].items()}
    us = {name: us / (STREAMS * long) for name, us in run["us"].items()}
    both = {name: base[name] + run[name] for name in ("exact", "late")}
    return {**run, **both, "us": us, "further": further}


def _row(contender: Contender, runs: list[dict[str, Any]]) -> dict[str, Any]:
    def of(process: str, what: str = "us") -> float:
        return round(median([run[what][process] for run in runs]), 1)

    own = median([own_total(contender, run["us"]) for run in runs])
    further = median([own_total(contender, run["further"]) for run in runs])
    return {
        "relay": contender.name,
        "us a token": round(own, 1),
        "a further token": round(further, 1),
        "tokens/s a CPU": round(1e6 / own) if own else "-",
        "upstream": of("upstream"),
        "clients": of("clients"),
        "s": round(median([run["took_s"] for run in runs]), 2),
        "exact": f"{sum(run['exact'] for run in runs)}/{2 * STREAMS * len(runs)}",
        "late": sum(run["late"] for run in runs),
        "a further token, by process": {name: of(name, "further") for name in contender.processes},
    }


async def measure(rig: Rig, *, is_quick: bool) -> dict[str, Any]:
    """Run rounds; the first one warms up and is not counted."""
    short, long, rounds = (50, 150, 1) if is_quick else (50, 300, 2)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in rig.contenders}
    for index in range(rounds + 1):
        for name in tuple(runs):
            contender = rig.contenders[name]
            tell(f"bursts: {name}, round {index}")
            try:
                found = (
                    await _pair(rig, contender, short, long) if index else await _burst(rig, contender, short)
                )
            except Exception as error:  # noqa: BLE001 - one that fails must not take the others' rows
                rig.fail(contender, "bursts", error)
                del runs[name]
            else:
                runs[name] += [found] if index else []
    rows = [_row(rig.contenders[name], found) for name, found in runs.items()]
    print_table(
        f"bursts: CPU a streamed token, us, upstream to client, {STREAMS} answers of {long} words at once"
        f" (a further token: against {short} words), median of {rounds}",
        rows,
    )
    return {"words": long, "rows": rows, "runs": runs}
