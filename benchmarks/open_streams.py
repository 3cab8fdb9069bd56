"""With many answers open: the added time to the first piece, and the added gap between pieces.

So many paced answers stay open in the background while short ones come at 20 a second; those are timed to
their first piece. Each word tells when the upstream wrote it: a gap's growth on the way is the relay's own.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.figures import median, spread, with_unanswered
from benchmarks.rig import Rig, own_total, spent
from benchmarks.stamped_text import Pace
from benchmarks.table import print_table, tell

ARRIVALS_PER_S = 20.0
SETTLE_S = 1.0
LATE_S = 10.0
BEGIN_S = 30.0
TTFT_MS = 20.0


@dataclass(frozen=True, slots=True)
class Shape:
    """How many answers are open, how fast each goes, and how long short ones come."""

    streams: int
    gap_ms: float
    opened_per_s: float
    probing_s: float
    contenders: tuple[str, ...] = ()

    @property
    def tokens_per_s(self) -> float:
        """What all open answers make together."""
        return self.streams * 1000 / self.gap_ms

    @property
    def probes(self) -> int:
        """How many short answers there are."""
        return int(self.probing_s * ARRIVALS_PER_S)


FULL = (
    Shape(64, 50, 64, 10, contenders=("direct", "parley", "parley openai", "parley anthropic")),
    Shape(128, 50, 64, 10),
    Shape(1000, 500, 100, 10),
)
QUICK = (
    Shape(64, 50, 64, 3, contenders=("direct", "parley", "parley openai", "parley anthropic")),
    Shape(128, 50, 64, 3),
    Shape(1000, 500, 200, 3, contenders=("direct", "parley", "litellm")),
)


async def _run(rig: Rig, contender: Contender, shape: Shape) -> dict[str, Any]:
    background = Pace(TTFT_MS, shape.gap_ms, 0).question
    probe = Pace(TTFT_MS, 50, 4).question
    async with rig.chats(contender, "open", shape.streams), rig.chats(contender, "probes", shape.probes):
        await rig.clients.ask(
            "ask", group="open", question=background, count=shape.streams, per_s=shape.opened_per_s
        )
        # The cost of opening them is not to fall into the time of those that come while they are open.
        begun = (await rig.clients.ask("await_first", group="open", timeout_s=BEGIN_S))["begun"]
        await asyncio.sleep(SETTLE_S)
        before_s = rig.cpu_s(contender)
        began_s = asyncio.get_running_loop().time()
        await rig.clients.ask("ask", group="probes", question=probe, count=shape.probes, per_s=ARRIVALS_PER_S)
        probed = await rig.clients.ask("wait", group="probes", timeout_s=LATE_S)
        took_s = asyncio.get_running_loop().time() - began_s
        used = spent(before_s, rig.cpu_s(contender), took_s * 10_000)
        still_open = (await rig.upstream.ask("finish"))["finished"]
        ended = await rig.clients.ask("wait", group="open", timeout_s=LATE_S)
        answers = (await rig.clients.ask("close", group="open"))["answers"]
        probes = (await rig.clients.ask("close", group="probes"))["answers"]
    return {
        "ttft_ms": [one["ttft_ms"] for one in probes if "ttft_ms" in one],
        "gaps_ms": [gap for one in answers for gap in one.get("gaps_ms", ())],
        "delays_ms": [delay for one in answers for delay in one.get("delays_ms", ())],
        "begun": begun,
        "open": still_open,
        "exact": sum(one["is_exact"] for one in answers),
        "probes_exact": sum(one["is_exact"] for one in probes),
        "late": ended["late"] + probed["late"],
        "cpu_percent": used,
        "tails": [one["tail"] for one in (*answers, *probes) if "tail" in one][:3],
    }


def _ttft_row(contender: Contender, run: dict[str, Any], shape: Shape, base_ms: float) -> dict[str, Any]:
    used = run["cpu_percent"]
    added_ms = [one_ms - base_ms for one_ms in run["ttft_ms"]]
    added = spread(with_unanswered(added_ms, shape.probes))
    return {
        "open streams": shape.streams,
        "relay": contender.name,
        **{f"added ms {name}": value for name, value in added.items()},
        "begun before": f"{run['begun']}/{shape.streams}",
        "answered": f"{run['probes_exact']}/{shape.probes}",
        "CPU %": round(own_total(contender, used)),
        "of which": ", ".join(f"{name} {percent:.0f}" for name, percent in used.items()),
    }


def _gap_row(contender: Contender, run: dict[str, Any], shape: Shape) -> dict[str, Any]:
    return {
        "open streams": shape.streams,
        "relay": contender.name,
        **{f"gap ms {name}": value for name, value in spread(run["gaps_ms"]).items()},
        **{f"delay ms {name}": value for name, value in spread(run["delays_ms"]).items()},
        "words": len(run["delays_ms"]),
        "exact": f"{run['exact']}/{shape.streams}",
    }


async def measure(rig: Rig, *, is_quick: bool) -> dict[str, Any]:
    """Run each shape with each contender in turn."""
    ttft_rows: list[dict[str, Any]] = []
    gap_rows: list[dict[str, Any]] = []
    kept: dict[str, Any] = {}
    shapes = QUICK if is_quick else FULL
    for shape in shapes:
        runs: dict[str, dict[str, Any]] = {}
        for name, contender in rig.contenders.items():
            if shape.contenders and name not in shape.contenders:
                continue
            tell(f"open_streams: {shape.streams}, {name}")
            try:
                runs[name] = await _run(rig, contender, shape)
            except Exception as error:  # noqa: BLE001 - one that fails must not take the others' rows
                rig.fail(contender, f"{shape.streams} open streams", error)
                await rig.upstream.ask("finish")
        base_ms = median(runs["direct"]["ttft_ms"]) if "direct" in runs else 0.0
        for name, run in runs.items():
            ttft_rows.append(_ttft_row(rig.contenders[name], run, shape, base_ms))
            gap_rows.append(_gap_row(rig.contenders[name], run, shape))
        kept[f"{shape.streams}"] = {"tokens_per_s": shape.tokens_per_s, "runs": runs}
    paces = "; ".join(f"{shape.streams} answers of a word every {shape.gap_ms:g} ms" for shape in shapes)
    print_table(f"open_streams: added time to the first piece, arrivals 20/s, beside {paces}", ttft_rows)
    print_table(
        "open_streams: growth of the gap between words on the way (client's gap less the upstream's own),"
        " and each word's time under way",
        gap_rows,
    )
    return {"rows": ttft_rows, "gap_rows": gap_rows, "shapes": kept}
