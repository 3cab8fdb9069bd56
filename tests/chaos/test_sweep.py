"""One turn, its process killed at its k-th bus message, for every k: the turn ends once, and whole.

Each sweep runs on small stacks of its own, side by side: what they do most is wait for a redelivery.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from tests.chaos.printed import print_row, print_table
from tests.chaos.scale import IS_FULL, scaled
from tests.chaos.sweep_lane import EXTRACTIVE, Death, Lane, Sweep, open_lane
from tests.stack_marks import STACK_WITHOUT_MODEL

pytestmark = [pytest.mark.chaos, *STACK_WITHOUT_MODEL]

LANES_AT_ONCE = 5
SMALL = (Sweep("gateway-1", "gateway-0"), Sweep("llm-0", "llm-0"), Sweep("memory", "memory", places=3))
FULL = (
    # Taken over by another process, then by the same one started again.
    Sweep("gateway-1", "gateway-0", lanes=2),
    Sweep("gateway-1", "gateway-1", lanes=2),
    # The reader's own gateway: the turn may not be accepted yet, and the reader goes to the other one.
    Sweep("gateway-1", "gateway-0", readers=(1, 0), lanes=2),
    Sweep("llm-0", "llm-1", lanes=2),
    Sweep("llm-0", "llm-0"),
    Sweep("llm-0", "llm-1", EXTRACTIVE),
    Sweep("gateway-1", "gateway-0", lanes=2, gathers=False),
    Sweep("llm-0", "llm-1", lanes=2, gathers=False),
    Sweep("memory", "memory"),
)


@dataclass
class Swept:
    """What came of one sweep."""

    sweep: Sweep
    messages: int = 0
    deaths: list[Death] = field(default_factory=list[Death])
    lanes_over: int = 0

    @property
    def is_over(self) -> bool:
        """Whether all of its lanes are."""
        return self.lanes_over == self.sweep.lanes

    @property
    def has_killed(self) -> bool:
        """Whether the process died wherever it had to: every turn gets as far as half of its messages."""
        early = [death for death in self.deaths if 2 * death.place <= self.messages and not death.withholds]
        return bool(early) and all(death.was_killed for death in early)

    @property
    def faults(self) -> list[str]:
        """Everything that was not as it has to be, with the place where the process died."""
        return [f"{self.sweep} at {death}: {fault}" for death in self.deaths for fault in death.faults]

    @property
    def readers(self) -> str:
        """The gateways that readers were connected to."""
        return ",".join(str(gateway) for gateway in self.sweep.readers)

    @property
    def row(self) -> str:
        """One row of the table."""
        killed = [death for death in self.deaths if death.was_killed]
        pauses = [death.worst_pause_s for death in killed]
        return (
            f"{self.sweep.victim:<10} {self.sweep.taker:<10} {self.readers:<8} {self.sweep.model[:6]:<7}"
            f"{'yes' if self.sweep.gathers else 'no':<8}"
            f"{self.messages:>4}{len(self.deaths):>6}{len(killed):>7}"
            f"{sum(death.terminals for death in self.deaths):>11}"
            f"{sum(death.stored for death in self.deaths):>8}{sum(death.gaps for death in self.deaths):>6}"
            f"{sum(death.repeats for death in self.deaths):>9}{sum(death.calls for death in self.deaths):>7}"
            f"{max(pauses, default=0.0):>9.1f} s{len(self.faults):>8}"
        )


HEAD = (
    f"{'victim':<10} {'taken by':<10} {'readers':<8} {'model':<7}{'gathers':<8}{'K':>4}{'runs':>6}"
    f"{'kills':>7}{'terminals':>11}{'stored':>8}{'gaps':>6}{'repeats':>9}{'calls':>7}{'pause':>11}{'faults':>8}"
)
LEGEND = """K: bus messages of the victim in one turn. runs: one for each message that it dies behind, or just
before. kills: runs that got as far. terminals: one a run; stored: messages, two a run; gaps,
repeats and faults are 0. calls: to the model, one a run, and one more where the writer dies in an
answer; none of `extractive`. pause: the worst between two events. A row comes when its sweep is
over."""


def places(sweep: Sweep, lane: int, messages: int) -> Iterator[int]:
    """Return where to kill: at every message, shared by the lanes of a sweep; in a small run at a few."""
    if IS_FULL:
        return count(1 + lane, sweep.lanes)
    step = messages / sweep.places
    return iter([round(step * (index + 0.5)) for index in range(sweep.places)])


async def sweep_through(lane: Lane, swept: Swept, index: int) -> None:
    whole = await lane.warm_up()
    assert not whole.faults, whole.faults
    swept.messages = max(swept.messages, len(whole.counted))
    for place in places(swept.sweep, index, swept.messages):
        death = await lane.run(place)
        swept.deaths.append(death)
        if death.is_at_publish and IS_FULL:
            swept.deaths.append(await lane.run(place, withholds=True))
        if not death.was_killed and place > swept.messages:
            return


async def test_a_turn_survives_the_death_of_a_process_at_any_of_its_messages(tmp_path: Path) -> None:
    all_swept = [Swept(sweep) for sweep in (FULL if IS_FULL else SMALL)]
    room = asyncio.Semaphore(scaled(len(SMALL), LANES_AT_ONCE))

    async def run_lane(number: int, swept: Swept, index: int) -> None:
        folder = tmp_path / f"{number}-{index}"
        folder.mkdir()
        async with room, open_lane(swept.sweep, folder) as lane:
            await sweep_through(lane, swept, index)
        swept.lanes_over += 1
        if swept.is_over:
            print_row(swept.row)

    print_table("test_sweep: one process is killed at each of its bus messages", LEGEND, HEAD)
    async with asyncio.TaskGroup() as tasks:
        for number, swept in enumerate(all_swept):
            for index in range(swept.sweep.lanes):
                tasks.create_task(run_lane(number, swept, index))
    faults = [fault for swept in all_swept for fault in swept.faults]
    assert not faults, "\n".join(faults)
    assert all(swept.has_killed for swept in all_swept)
