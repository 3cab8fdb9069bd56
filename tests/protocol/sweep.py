"""Lets one fault meet one process at its first, second, ... operation, until a turn ends before it does."""

from collections.abc import Iterator, Sequence

from tests.protocol.cluster import AT_ONCE, TOOL_CALL_S, WITH_TOOLS, WORKERS
from tests.protocol.counting_model import GAP_S
from tests.protocol.planned_faults import Delay, Fault, Freeze, Kill, Lose, Refuse
from tests.protocol.schedule import Action, Cancel, Pause, Plan, Start, Verdict, Watch, run_schedule

FAULTS: dict[str, Fault] = {
    "killed before": Kill(),
    "killed after": Kill(is_after=True),
    "stalled before": Freeze(8.0),
    "stalled after": Freeze(8.0, is_after=True),
    "with its answer lost": Lose(),
    "with three lost in a row": Lose(3),
    "delayed": Delay(1.5),
    "with a bus that is away": Refuse(),
}
MAX_OPERATIONS = 400

MAX_END_S = 17.0
"""Three lost answers of memory in a row cost the most: what is tried again waits longer each time."""


def watched(turn: str) -> tuple[Action, ...]:
    """Return a turn that two clients watch from its start, two from its middle, and one after its end."""
    return (
        Start(turn, "gateway-1"),
        Watch(turn, "gateway-2"),
        Pause(0.45),
        Watch(turn, "gateway-2", from_start=False),
        Watch(turn, "gateway-1"),
        Pause(12.0),
        Watch(turn, "gateway-2"),
    )


def stopped(turn: str) -> tuple[Action, ...]:
    """Return a turn that is stopped in the middle of its answer."""
    return (*watched(turn)[:2], Pause(0.35), Cancel(turn, "gateway-2"))


TURN, STOPPED_TURN = watched("a"), stopped("a")
[AT_ONCE_TURN], [STOPPED_AT_ONCE] = map(watched, AT_ONCE), map(stopped, AT_ONCE)
[TOOLS_TURN] = map(watched, WITH_TOOLS)
STOPPED_TOOLS = (*TOOLS_TURN[:2], Pause(1.3), Cancel(WITH_TOOLS[0], "gateway-2"))
"""A turn that calls tools, and the same stopped while they are at work."""
TWO_STARTS: tuple[Action, ...] = (Start("a", "gateway-1"), Start("a", "gateway-2"))


def missed(
    verdict: Verdict,
    *,
    within_s: float = MAX_END_S,
    may_ask_again: bool = False,
    is_stopped: bool = False,
    rounds: int = 1,
) -> list[str]:
    """Return what one fault has done to a turn and must not: broken promises, and what it costs too much."""
    found = [*verdict.violations]
    if verdict.ended_s > within_s:
        found.append(f"the end was seen after {verdict.ended_s:.1f} s")
    if verdict.model_calls > rounds and not may_ask_again:
        found.append(f"the model was asked {verdict.model_calls} times, and no worker was gone")
    if others := verdict.outcomes - {"turn_completed", *(["turn_cancelled"] if is_stopped else [])}:
        found.append(f"the turn ends as {others}")
    return found


def sweep(
    role: str,
    fault: Fault,
    turn: Sequence[Action] = TURN,
    *,
    can_continue: bool = False,
    gap_s: float = GAP_S,
    step: int = 1,
) -> Iterator[str]:
    """Let `fault` meet each (`step`-th) operation of `role`; yield what was missed, where something was."""
    is_stopped = any(isinstance(action, Cancel) for action in turn)
    may_ask_again = role in WORKERS and isinstance(fault, Kill | Freeze)
    first = 1 + (len(role) + len(str(fault))) % step
    for after in range(first, MAX_OPERATIONS, step):
        plan = Plan(role, after, fault)
        verdict = run_schedule(plan, *turn, can_continue=can_continue, gap_s=gap_s)
        if not verdict.met:
            return
        rounds = 2 if turn in (TOOLS_TURN, STOPPED_TOOLS) else 1
        within_s = MAX_END_S + 2 * TOOL_CALL_S * (rounds - 1)
        found = missed(
            verdict, within_s=within_s, may_ask_again=may_ask_again, is_stopped=is_stopped, rounds=rounds
        )
        if found:
            yield f"{role}, operation {after}, {fault}: {found}"
    raise AssertionError(f"a turn took {role} more than {MAX_OPERATIONS} operations")
