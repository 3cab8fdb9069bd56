"""Moderate load for a while: nothing that a turn opens, allocates or subscribes to stays."""

import asyncio

import pytest

from tests.chaos.footprint import Footprint, footprint_of
from tests.chaos.growth import growth, memory_growth, table
from tests.chaos.printed import print_table
from tests.chaos.scale import scaled
from tests.chaos.soak_load import SoakLoad
from tests.chaos.turn_record import open_turn_records
from tests.fakes.ollama_server import OllamaFake
from tests.integration.library import ingest_library
from tests.integration.stack import Stack
from tests.stack_marks import STACK

pytestmark = [pytest.mark.chaos, pytest.mark.soak, *STACK]

USERS = scaled(10, 25)
WARM_UP_S = scaled(5.0, 60.0)
LOAD_S = scaled(12.0, 600.0)
QUIET_S = 60.0
STEADY_S = 3.0
"""Footprints this far apart are alike once the stack is at rest."""


async def at_rest(stack: Stack, ollama: OllamaFake, until: Footprint | None = None) -> Footprint:
    """Return the footprint once all turns are over and it stands still, and is back where it was."""
    async with open_turn_records(stack.nats_url, stack.operator_nkey) as records:
        await records.settled()
    await ollama.until(lambda stats: stats.open_streams == 0, within_s=QUIET_S)
    found = await footprint_of(stack)
    try:
        async with asyncio.timeout(QUIET_S):
            while True:
                before = found
                await asyncio.sleep(STEADY_S)
                found = await footprint_of(stack)
                is_back = until is None or not growth(until, found)
                # Health probes open and close sockets at all times: those may differ by the slack.
                if is_back and not growth(before, found) and not growth(found, before):
                    return found
    except TimeoutError:
        # What is still open is what the table and the assertions are to show.
        return found


async def test_nothing_grows_under_moderate_load(stack: Stack, ollama: OllamaFake) -> None:
    load = SoakLoad(stack, await ingest_library(stack))
    await load.each_once()
    await load.run(WARM_UP_S, users=USERS, seed=1)
    start = await at_rest(stack, ollama)
    load.forget()
    await load.run(LOAD_S / 2, users=USERS, seed=2)
    middle = await at_rest(stack, ollama, until=start)
    turns_by_middle = load.turns
    await load.run(LOAD_S / 2, users=USERS, seed=3)
    end = await at_rest(stack, ollama, until=start)
    done = f"{load.turns} turns: {dict(load.done)}, refused: {dict(load.refused)}"
    print_table(f"test_soak: {LOAD_S:.0f} s of {USERS} users", done, table(start, middle, end))
    assert load.refused.total() < load.done.total() / 20
    assert growth(start, end) == []
    assert memory_growth(middle, end, load.turns - turns_by_middle) == []
