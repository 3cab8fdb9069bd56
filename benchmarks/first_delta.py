"""Time to the first piece of an answer that each contender adds to the upstream, at one stream.

Turns without retrieval, one after another; the contenders take turns with calls to the upstream itself. What
the upstream took for its first word, which the word tells, is not in it.
"""

import asyncio
from typing import Any

from benchmarks.figures import median, spread
from benchmarks.rig import Rig
from benchmarks.stamped_text import Pace
from benchmarks.table import print_table, tell

PACE = Pace(ttft_ms=20, gap_ms=2, words=4)
WARM_UP = 10
ANSWER_S = 20.0
PAUSE_S = 0.01


async def measure(rig: Rig, *, is_quick: bool) -> dict[str, Any]:
    """Run rounds of one answer of each; what is added is the time less the median direct call's."""
    rounds = 60 if is_quick else 250
    found: dict[str, list[float]] = {}
    for contender in tuple(rig.contenders.values()):
        try:
            await rig.clients.ask("open", group=contender.name, **contender.address, count=1)
            found[contender.name] = []
        except Exception as error:  # noqa: BLE001 - one that fails must not take the others' rows
            rig.fail(contender, "first delta", error)
    tell(f"first_delta: {rounds} rounds")
    for index in range(-WARM_UP, rounds):
        for name in tuple(found):
            # What one does after its answer is not to fall into the next one's time.
            await asyncio.sleep(PAUSE_S)
            try:
                answer = await rig.clients.ask("one", group=name, question=PACE.question, timeout_s=ANSWER_S)
                if not answer["is_exact"]:
                    raise RuntimeError(f"not exact: {answer['tail']}")
            except Exception as error:  # noqa: BLE001 - as above
                rig.fail(rig.contenders[name], "first delta", error)
                del found[name]
            else:
                if index >= 0:
                    found[name].append(answer["ttft_ms"])
    for name in rig.contenders:
        await rig.clients.ask("close", group=name, results=False)
    base_ms = median(found.get("direct", []))
    added = {name: [one_ms - base_ms for one_ms in times] for name, times in found.items()}
    direct = (
        f"and the {base_ms:.2f} ms (median) of a direct call"
        if found.get("direct")
        else "(what a direct call takes is in it: none was made)"
    )
    rows: list[dict[str, Any]] = [{"added, ms": name, **spread(times)} for name, times in added.items()]
    print_table(
        f"first_delta: added time to the first piece, 1 stream, {rounds} rounds of one answer each;"
        f" without the upstream's own time {direct}",
        rows,
    )
    return {"rounds": rounds, "direct_ms": base_ms, "rows": rows, "samples_ms": found}
