"""A client that hardly reads costs the others nothing, and loses nothing itself."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import pytest

from benchmarks.figures import percentile
from tests.chaos.printed import print_table
from tests.chaos.resident_memory import resident_mib
from tests.chaos.scale import IS_FULL, scaled
from tests.chaos.slow_reader import SlowReader
from tests.chaos.stored_answers import stored_answer
from tests.chaos.upstream import LARGE, SIX_SECONDS, TEN_SECONDS
from tests.integration.stack import Stack
from tests.integration.turn_view import TurnView
from tests.stack_marks import STACK

pytestmark = [pytest.mark.chaos, *STACK]

FAST_READERS = scaled(20, 100)
LARGE_TURNS = (8, 14) if IS_FULL else (2,)
"""Answers of 400 KB that the slow one asks for, by round; 14 are more than a socket may have waiting."""

MODEL = TEN_SECONDS if IS_FULL else SIX_SECONDS
NOISE_S = 0.020
LEGEND = f"""\
gap: between two pieces of an answer at a fast reader; p99 beside the slow one is under twice the other
p99 and {1000 * NOISE_S:.0f} ms; ratio: of these two. RSS: memory of the gateway that all read from,
before, at its most beside the slow one, and after. frames for deltas: who lags gets several pieces in one.
closed with: nothing, or 1013 when more waits than a socket may have, and a resume reads the rest.
Every text is exact, and stored so."""
SAMPLE_S = 0.1
SILENCE_S = 30.0


@dataclass
class Phase:
    """What the fast readers saw, and what the gateway held meanwhile."""

    gaps_s: list[float] = field(default_factory=list[float])
    rss_mib: list[float] = field(default_factory=list[float])

    @property
    def p99_s(self) -> float:
        return percentile(self.gaps_s, 99)


@asynccontextmanager
async def sampled(stack: Stack, phase: Phase) -> AsyncGenerator[None]:
    """Note the gateway's memory again and again while the body runs."""
    pid = stack.processes["gateway-0"].pid

    async def sample() -> None:
        while True:
            phase.rss_mib.append(resident_mib(pid))
            await asyncio.sleep(SAMPLE_S)

    async with asyncio.TaskGroup() as tasks:
        sampling = tasks.create_task(sample())
        try:
            yield
        finally:
            sampling.cancel()


async def read_fast(stack: Stack, phase: Phase) -> None:
    """Read one answer as it comes and note the time between its deltas."""
    loop = asyncio.get_running_loop()
    view = TurnView(uuid4().hex)
    start = {"type": "start_turn", "turn_id": view.turn_id, "text": "Go on.", "model": MODEL.id}
    async with stack.chat(0) as chat:
        await chat.send({**start, "collections": []})
        heard_s: float | None = None
        while not view.is_over:
            async with asyncio.timeout(SILENCE_S):
                frame = json.loads(await chat.connection.recv())
            view.take(frame)
            if frame["type"] == "text_delta":
                now_s = loop.time()
                if heard_s is not None:
                    phase.gaps_s.append(now_s - heard_s)
                heard_s = now_s
    assert view.text == MODEL.answer_begun_as(view.text)


async def read_all_fast(stack: Stack, phase: Phase) -> None:
    async with asyncio.TaskGroup() as tasks:
        for _ in range(FAST_READERS):
            tasks.create_task(read_fast(stack, phase))


async def run_round(stack: Stack, phase: Phase, large_turns: int, *, is_slow: bool) -> SlowReader:
    """Let everybody read; the large answers are read either way, so that the load is the same."""
    reader = SlowReader(stack, 0, large_turns)
    if not is_slow:
        reader.hurry()
    async with sampled(stack, phase), asyncio.TaskGroup() as tasks:
        tasks.create_task(reader.run(LARGE))
        await read_all_fast(stack, phase)
        reader.hurry()
    for view in reader.views.values():
        assert view.text == LARGE.answer_begun_as(view.text)
        assert await stored_answer(stack, view) == view.text
    return reader


async def test_one_who_reads_a_kilobyte_a_second_slows_nobody_and_loses_nothing(stack: Stack) -> None:
    # What the first turns of a process cost is nobody's gap.
    warming = SlowReader(stack, 0, 1)
    warming.hurry()
    await warming.run(LARGE)
    before_mib = resident_mib(stack.processes["gateway-0"].pid)
    without, beside = Phase(), Phase()
    slow: list[SlowReader] = []
    for large_turns in LARGE_TURNS:
        await run_round(stack, without, large_turns, is_slow=False)
        slow.append(await run_round(stack, beside, large_turns, is_slow=True))
    rows = [
        f"{FAST_READERS} fast readers, and one slow one with answers of {LARGE.count * LARGE.pad // 1024} KB",
        f"  p99 gap without the slow reader  {1000 * without.p99_s:7.1f} ms of {len(without.gaps_s)} gaps",
        f"  p99 gap beside the slow reader   {1000 * beside.p99_s:7.1f} ms of {len(beside.gaps_s)} gaps",
        f"  ratio                            {beside.p99_s / without.p99_s:7.2f}",
        f"  gateway RSS before/peak/after    {before_mib:7.1f} / {max(beside.rss_mib):.1f} /"
        f" {resident_mib(stack.processes['gateway-0'].pid):.1f} MiB",
    ]
    rows += [
        f"  {len(one.views)} answers, {one.slow_bytes / 1024:.1f} KB read slowly: {one.deltas} frames for"
        f" {LARGE.count * len(one.views)} deltas, closed with {one.closed_with}"
        for one in slow
    ]
    print_table("test_slow_reader: one client reads a kilobyte a second, beside fast ones", *rows, LEGEND)
    assert beside.p99_s < 2 * without.p99_s + NOISE_S
    # Who is not sent away gets what waited for him in fewer frames.
    assert all(one.closed_with or one.deltas < LARGE.count * len(one.views) / 2 for one in slow)
    assert not slow[0].closed_with
    assert bool(slow[-1].closed_with) == IS_FULL
