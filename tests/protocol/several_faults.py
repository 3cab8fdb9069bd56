"""A few faults that meet one turn together, each for a trap that a single fault does not spring."""

from collections.abc import Callable, Iterable, Iterator
from itertools import product

from tests.protocol.counting_model import GAP_S
from tests.protocol.planned_faults import Delay, Freeze, Kill, Lose, Thaw
from tests.protocol.schedule import Plan, run_schedule
from tests.protocol.sweep import TURN, missed

Search = Callable[[], Iterator[str]]
Plans = Iterable[tuple[Plan, ...]]

SEVERAL_S = 45.0
"""Within this a turn ends also after several faults; what is missed waits for the deadline of the turn."""

STALE_WORKER = [(Plan("llm-1", 13, Freeze(6.5)), Plan("llm-2", k, Kill())) for k in range(14, 32)]
"""A worker that others have taken over from wakes up, ends, and then his successor dies."""

NO_HEARTBEATS = [(Plan(role, 1, Lose(4, "in_progress")),) for role in ("llm-1", "gateway-1")]

LATE_ACKNOWLEDGEMENT = [
    (Plan("llm-1", a, Lose()), Plan("llm-1", b, Delay()), Plan("llm-1", c, Lose()))
    for a, b, c in product(range(7, 12), range(8, 14), range(9, 22))
    if a < b < c
]
"""An event is lost, the next one's acknowledgement is late, and its repeat is lost as well."""

DIES_FINISHED = [
    (Plan("gateway-1", g, Freeze(12.0)), Plan("gateway-2", h, Freeze(12.0)), Plan("llm-1", k, Kill()))
    for g, h, k in product(range(25, 27), range(20, 28), range(15, 19))
]
"""A worker dies when its answer stands in the log, and no runner has heard of it yet."""

WAKES_IN_TIME = [
    (Plan("llm-1", i, Freeze(40.0)), Plan("llm-2", j, Thaw("llm-1", let_run_s)))
    for i, j, let_run_s in product(range(11, 15), range(17, 20), (0.0, 2e-6))
]
"""A stalled worker wakes up and finishes when his successor has read the log and not begun to write."""

END_BEFORE_REPEATS = [
    (
        Plan("llm-1", 5, Lose()),
        Plan("llm-1", 6, Delay()),
        Plan("llm-1", 13, Lose()),
        Plan("gateway-2", k, Lose()),
    )
    for k in range(40, 62)
]
"""The end stands in the log before repeats of earlier events, and a viewer has not heard it live."""


def together(
    plans: Plans, gap_s: float = GAP_S, *, may_ask_again: bool = False, latency_s: float = 0.0
) -> Search:
    """Return the search through faults that meet one turn together."""

    def search() -> Iterator[str]:
        for planned in plans:
            verdict = run_schedule(*planned, *TURN, gap_s=gap_s, latency_s=latency_s)
            if found := missed(verdict, within_s=SEVERAL_S, may_ask_again=may_ask_again):
                yield f"{planned}: {found}"

    return search
