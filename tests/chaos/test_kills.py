"""`kill -9` of any process in the middle of answers: each goes on, ends once, and is stored once."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio
from parley_contracts.turns import PenClaim
from parley_gateway.identity import Secrets
from parley_gateway.ids import OwnedIds

from tests.chaos.detached_stack import open_detached_stack
from tests.chaos.kill_report import Report, printed_table
from tests.chaos.kill_run import KillRun, Site, run_kill
from tests.chaos.scale import IS_FULL
from tests.chaos.turn_record import TurnRecord, TurnRecords
from tests.fakes.ollama_server import OllamaFake
from tests.integration.library import COLLECTION, Library, ingest_library
from tests.integration.stack import Stack
from tests.stack_marks import STACK

pytestmark = [pytest.mark.chaos, *STACK]

SEED = os.environ.get("PARLEY_CHAOS_SEED", "20")
"""Chooses the moments of the kills; another one is another run."""


@dataclass(frozen=True)
class Scenario:
    """Who is killed, where the clients sit, and what the turns are asked to search."""

    name: str
    victims: tuple[str, ...]
    urls: tuple[int, ...] = (0, 1)
    is_at_first: bool = False
    is_busiest_only: bool = False
    collections: tuple[str, ...] = ()


EVERYTHING = ("nats", "redis", "gateway-0", "gateway-1", "llm-0", "llm-1", "npu", "rag", "memory")
SCENARIOS = (
    Scenario("llm-worker", ("llm-0", "llm-1"), is_busiest_only=True),
    Scenario("socket-gateway", ("gateway-0",), is_at_first=True),
    Scenario("turn-runner", ("gateway-0",), urls=(1, 0), is_at_first=True, collections=(COLLECTION,)),
    Scenario("memory", ("memory",)),
    Scenario("rag", ("rag",), collections=(COLLECTION,)),
    Scenario("npu", ("npu",), collections=(COLLECTION,)),
    Scenario("redis", ("redis",)),
    Scenario("nats-server", ("nats",)),
    Scenario("everything", EVERYTHING, collections=(COLLECTION,)),
)
SMALL = ("llm-worker", "turn-runner", "everything")
TRIED = [one for one in SCENARIOS if IS_FULL or one.name in SMALL]


VICTIMS = """\
llm-worker: the busier of two. socket-gateway: the one on which all clients are. turn-runner: a gateway
without clients. everything: all of them, brokers too, at once. supervisor: what keeps them running; its
processes live on until the next start replaces them."""


@pytest.fixture(scope="module")
def report() -> Generator[Report]:
    """Takes the row of each scenario; the table is printed when all are over."""
    title = f"test_kills: a process is killed in the middle of answers (repeat with PARLEY_CHAOS_SEED={SEED})"
    with printed_table(title, VICTIMS) as take:
        yield take


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def library(running_stack: Stack) -> Library:
    """Documents that turns search."""
    return await ingest_library(running_stack)


def site_of(stack: Stack, urls: Sequence[int]) -> Site:
    ids = OwnedIds(Secrets.read(stack.folder / "secrets").turn_key)
    return Site([stack.url(index) for index in urls], stack.headers, stack.nats_url, stack.operator_nkey, ids)


def busiest(stack: Stack, names: Sequence[str], records: dict[str, TurnRecord]) -> str:
    """Return who of some workers writes the most answers."""
    writing = Counter(
        record.pen[-1].holder
        for record in records.values()
        if record.pen and isinstance(record.pen[-1], PenClaim) and record.finished_at_s is None
    )
    return max(names, key=lambda name: writing[stack.processes[name].instance])


@pytest.mark.parametrize("scenario", TRIED, ids=lambda scenario: scenario.name)
async def test_answers_go_on_when_a_process_is_killed(
    stack: Stack, ollama: OllamaFake, library: Library, report: Report, scenario: Scenario
) -> None:
    victims = list(scenario.victims)

    async def kill(records: TurnRecords) -> set[str]:
        if scenario.is_busiest_only:
            victims[:] = [busiest(stack, victims, await records.read())]
        killed = [stack.processes[name] for name in victims]
        for process in killed:
            process.signal(signal.SIGKILL)
        codes = await asyncio.gather(*(process.ended() for process in killed))
        assert set(codes) == {-signal.SIGKILL}, "one of them had ended by itself"
        return {process.instance for process in killed}

    run = KillRun(
        name=scenario.name,
        site=site_of(stack, scenario.urls),
        fake=ollama,
        random=Random(f"{SEED} {scenario.name}"),
        collections=list(scenario.collections),
    )
    row, faults = await run_kill(
        run, is_at_first=scenario.is_at_first, kill=kill, revive=lambda: stack.start(*victims)
    )
    report(row)
    assert not faults, "\n".join(faults)
    hits = {
        "llm-worker": row.broken_off,
        "socket-gateway": row.reconnects,
        "turn-runner": row.runners_hit,
        "everything": min(row.broken_off, row.runners_hit, row.reconnects),
    }
    assert hits.get(scenario.name, 1) > 0, "the kill hit nothing"
    if scenario.name == "turn-runner":
        assert row.reconnects == 0


@pytest.mark.skipif(not IS_FULL, reason="a start of its own takes long; `make chaos` kills it")
async def test_answers_go_on_when_the_supervisor_is_killed(
    tmp_path_factory: pytest.TempPathFactory, model_dir: Path, ollama: OllamaFake, report: Report
) -> None:
    settings = {"OLLAMA_HOST": ollama.url, "PARLEY_LLM_SLOTS": "128"}
    folder = tmp_path_factory.mktemp("supervised")
    async with open_detached_stack(folder, model_dir=model_dir, environment=settings) as stack:

        async def kill(_: TurnRecords) -> set[str]:
            await stack.kill_supervisor()
            # Its processes live on, and the next start ends them as any stop does: nothing is cut off.
            return set()

        run = KillRun(
            name="supervisor",
            site=Site(stack.urls, stack.headers, stack.state.nats_url, stack.operator_nkey, stack.ids),
            fake=ollama,
            random=Random(f"{SEED} supervisor"),
            collections=[],
        )
        row, faults = await run_kill(run, is_at_first=False, kill=kill, revive=stack.up)
    report(row)
    assert not faults, "\n".join(faults)
