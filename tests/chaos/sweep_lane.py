# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false
"""A small stack with a tap before each process that may die, and one turn after the other run through it."""

import asyncio
import signal
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import nats
from nats.aio.client import Client
from parley_cli.client.turn_socket import new_turn_id
from parley_cli.supervisor.brokers import nats_argv
from parley_cli.supervisor.readiness import nats_probe

from tests.chaos.death import Death, Outcome
from tests.chaos.nats_tap import NatsTap, open_tap
from tests.chaos.roaming_client import RoamingClient
from tests.chaos.turn_record import QUEUES, TurnRecords, open_turn_records
from tests.chaos.viewed import Viewed
from tests.conftest import free_port
from tests.fakes.ollama_server import OllamaFake, open_ollama_fake
from tests.integration.paced import PacedModel
from tests.integration.stack import LOOPBACK, Stack, open_stack
from tests.integration.stack_process import StackProcess
from tests.integration.waiting import eventually

EIGHT_WORDS = PacedModel(gap_ms=20, count=8)
EXTRACTIVE = "extractive"
QUESTION = "Which words come next?"
ALIVE = 0
"""The gateway that is never the victim."""

QUIET_S = 0.4
"""A turn that is over is taken to send no more messages after this."""

TURN_S = 120.0


@dataclass(frozen=True)
class Sweep:
    """Who is killed, and who goes on with the work: another process, or the victim started again.

    Attributes:
        victim: Who is killed.
        taker: Who alone is given the victim's jobs from then on.
        model: What is asked.
        readers: The gateways that the reader connects to, one after the other when a socket ends.
        places: How many places a small run looks at.
        lanes: How many stacks share the places of a full one.
        gathers: Whether the turns go on with a conversation; such as open one have nothing to gather.
    """

    victim: str
    taker: str
    model: str = EIGHT_WORDS.id
    readers: tuple[int, ...] = (ALIVE,)
    places: int = 2
    lanes: int = 1
    gathers: bool = True

    @property
    def gateways(self) -> int:
        return 2 if self.victim == "gateway-1" else 1

    @property
    def services(self) -> tuple[str, ...]:
        workers = {name for name in (self.victim, self.taker) if name.startswith("llm")}
        return ("memory", *sorted({"llm-0", *workers}))

    @property
    def workers(self) -> tuple[str, ...]:
        """The processes that could take the victim's jobs; all but the victim are kept from it."""
        kind = self.victim.partition("-")[0]
        edges = [f"gateway-{index}" for index in range(self.gateways)]
        return tuple(name for name in (*self.services, *edges) if name.partition("-")[0] == kind)


class Streams:
    """What the streams of a stack say of turns as a whole."""

    def __init__(self, connection: Client) -> None:
        self._jetstream = connection.jetstream()

    async def told(self) -> int:
        """Return how many events have ever told of a finished turn."""
        return (await self._jetstream.stream_info("DOMAIN_EVENTS")).state.last_seq

    async def jobs(self) -> int:
        """Return how many jobs are not acknowledged."""
        found = [await self._jetstream.stream_info(queue) for queue in QUEUES]
        return sum(info.state.messages for info in found)


class Lane:
    """One small stack: runs a turn, kills its victim at a place of it, and looks at what became of it."""

    def __init__(
        self,
        sweep: Sweep,
        stack: Stack,
        *,
        taps: Mapping[str, NatsTap],
        upstream: OllamaFake,
        records: TurnRecords,
        streams: Streams,
    ) -> None:
        self._sweep = sweep
        self._stack = stack
        self._taps = taps
        self._tap = taps[sweep.victim]
        self._upstream = upstream
        self._records = records
        self._streams = streams
        self._conversation = ""
        self._text = ""

    async def warm_up(self) -> Death:
        """Run turns that nobody dies in: the conversation that the others go on with, and a count."""
        await self.run(0)
        if not self._text:
            raise RuntimeError("a turn that nobody dies in has no answer")
        return await self.run(0)

    async def run(self, place: int, *, withholds: bool = False) -> Death:
        """Run a turn; the victim dies when its message number `place` has passed, at 0 it lives.

        With `withholds` it dies just before that message, if it is one that the victim sends.
        """
        death = Death(place, withholds)
        turn_id = new_turn_id()
        view = Viewed(turn_id, self._start_frame(turn_id))
        try:
            async with asyncio.timeout(TURN_S):
                await self._only_the_victim_takes_jobs()
                await self._follow(view, death)
        except (TimeoutError, AssertionError, RuntimeError, ExceptionGroup) as error:
            death.faults.append(f"{error!r}, seen: {view}")
        finally:
            self._tap.disarm()
        death.note_seen(view)
        self._conversation = self._conversation or view.conversation_id
        self._text = self._text or view.text
        return death

    async def _follow(self, view: Viewed, death: Death) -> None:
        """Run the turn, and hold what came of it against what has to."""
        await self._records.mark()
        calls, told = self._upstream.stats.calls, await self._streams.told()
        victim = self._stack.processes[self._sweep.victim].instance
        self._tap.arm(death.place, self._kill, withholds=death.withholds)
        await self._watch(view, death, told)
        outcome = Outcome(
            messages=await self._stored(view),
            calls=[call for call in self._upstream.calls if call.number > calls],
            told=await self._streams.told() - told,
            answer=self._answer(view.text),
        )
        death.judge(view, (await self._records.read()).values(), outcome, victim=victim)

    def _start_frame(self, turn_id: str) -> dict[str, Any]:
        return {
            "type": "start_turn",
            "turn_id": turn_id,
            "text": QUESTION,
            "model": self._sweep.model,
            "collections": [],
            "conversation_id": (self._conversation or None) if self._sweep.gathers else None,
        }

    def _kill(self) -> None:
        self._stack.processes[self._sweep.victim].signal(signal.SIGKILL)

    async def _only_the_victim_takes_jobs(self) -> None:
        for name in self._sweep.workers:
            self._taps[name].holds_pulls = name != self._sweep.victim
        began_s = time.monotonic()

        async def is_so() -> bool:
            others = [self._taps[name] for name in self._sweep.workers if name != self._sweep.victim]
            takes = self._tap.last_pull_s > began_s or len(self._sweep.workers) == 1
            return takes and not any(tap.has_pulls for tap in others)

        await eventually(is_so)

    async def _watch(self, view: Viewed, death: Death, told: int) -> None:
        """Read the turn until nothing of it is left to do, and start the victim again when it has died."""
        urls = [self._stack.url(gateway) for gateway in self._sweep.readers]
        client = RoamingClient(urls, self._stack.headers, Random(death.place))

        async def is_done() -> bool:
            return view.is_over and await self._streams.told() > told and await self._streams.jobs() == 0

        async def is_killed_or_quiet() -> bool:
            return self._tap.killed.is_set() or (await is_done() and self._tap.is_quiet(QUIET_S))

        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(client.run())
            await client.begin(view)
            reviving = tasks.create_task(self._revive())
            await eventually(is_killed_or_quiet, within_s=TURN_S)
            death.was_killed = self._tap.killed.is_set()
            death.counted = list(self._tap.counted)
            if death.was_killed:
                await reviving
            self._tap.disarm()
            reviving.cancel()
            await eventually(is_done, within_s=TURN_S)
            await self._records.settled()
            reading.cancel()

    async def _revive(self) -> None:
        """Start the victim again at once; the taker alone is given its jobs."""
        await self._tap.killed.wait()
        for name in self._sweep.workers:
            self._taps[name].holds_pulls = name != self._sweep.taker
        process = self._stack.processes[self._sweep.victim]
        code = await process.ended()
        if code != -signal.SIGKILL:
            raise RuntimeError(f"{self._sweep.victim} ended with {code}")
        await process.start()

    def _answer(self, text: str) -> str:
        """Return what the turn has to say: what the one call says whose words stand at its start."""
        if self._sweep.model == EXTRACTIVE:
            return self._text
        return EIGHT_WORDS.answer_begun_as(text) if text.startswith("c") else "an answer"

    async def _stored(self, view: Viewed) -> list[tuple[str, str]]:
        """Return the messages of the turn, as soon as memory can be asked."""
        answer: dict[str, Any] = {}

        async def is_answered() -> bool:
            async with self._stack.http(ALIVE) as client:
                response = await client.get(f"/api/conversations/{view.conversation_id}")
            if response.is_success:
                answer.update(response.json())
            return bool(answer)

        await eventually(is_answered)
        return [(one["role"], one["text"]) for one in answer["messages"] if one["turn_id"] == view.turn_id]


@asynccontextmanager
async def _streams_of(nats_url: str) -> AsyncGenerator[Streams]:
    connection = await nats.connect(nats_url)
    try:
        yield Streams(connection)
    finally:
        await connection.close()


@asynccontextmanager
async def open_lane(sweep: Sweep, folder: Path) -> AsyncGenerator[Lane]:
    """Start a small stack for a sweep, every process of the victim's kind behind a tap of its own."""
    port = free_port()
    async with AsyncExitStack() as resources:
        upstream = await resources.enter_async_context(open_ollama_fake())
        upstream.models = (EIGHT_WORDS.name,)
        taps = {name: await resources.enter_async_context(open_tap(port)) for name in sweep.workers}
        for name, tap in taps.items():
            tap.holds_pulls = name != sweep.victim
        server = StackProcess("nats", nats_argv(folder, port), {}, folder, nats_probe(port))
        resources.push_async_callback(server.close)
        await server.start()
        stack = await resources.enter_async_context(
            open_stack(
                folder / "stack",
                model_dir=folder,
                gateways=sweep.gateways,
                services=sweep.services,
                environment={"OLLAMA_HOST": upstream.url, "PARLEY_LLM_EXTRACTIVE_DELTA_MS": "8"},
                nats_url=f"nats://{LOOPBACK}:{port}",
                own={name: {"NATS_URL": tap.url} for name, tap in taps.items()},
            )
        )
        records = await resources.enter_async_context(open_turn_records(stack.nats_url, stack.operator_nkey))
        streams = await resources.enter_async_context(_streams_of(stack.nats_url))
        yield Lane(sweep, stack, taps=taps, upstream=upstream, records=records, streams=streams)
