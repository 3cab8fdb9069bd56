"""Two gateways, two workers and memory as processes on one bus, to be killed, frozen and started again."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.errors import ParleyError
from parley_contracts.llm import GenerateJob, ListModels, ModelList
from parley_contracts.policy import Role
from parley_contracts.subjects import LLM_MODELS
from parley_contracts.turns import PenClaim, PenRole, TurnRef
from parley_gateway.ids import OwnedIds
from parley_gateway.principal import Principal
from parley_gateway.settings import GatewaySettings
from parley_gateway.turn_parts import TurnParts
from parley_llm.catalogue import Catalogue
from parley_llm.generation import Generation
from parley_llm.worker import GenerationWorker
from parley_messaging.holds import Holds
from parley_messaging.pen import Pen
from parley_messaging.queues import TURNS, llm_jobs
from parley_messaging.stops import Stops
from parley_messaging.turn_writer import TurnWriters
from parley_messaging.work_loop import WorkLoop

from tests.protocol.counting_model import GAP_S, POOL, CountingModel
from tests.protocol.memory_store import MemoryStore
from tests.protocol.process_bus import Network, ProcessBus
from tests.protocol.tool_shop import TOOLS, ToolShop
from tests.protocol.turn_record import pen_records
from tests.protocol.viewer import Viewer
from tests.protocol.virtual_time import Process, current_process

OWNER = Principal("owner-1", Role.OWNER)
IDS = OwnedIds(b"secret")
WITH_TOOLS = ("t",)
"""Turns whose model calls two tools before it goes on with its answer."""
AT_ONCE = ("c",)
"""Turns with nothing to gather: their runner writes nothing before a worker does."""

GATEWAYS = ("gateway-1", "gateway-2")
WORKERS = ("llm-1", "llm-2")
ROLES = (*GATEWAYS, *WORKERS, "memory")
SHOP = "shop"
ALL_ROLES = (*ROLES, SHOP)
RESTART_S = 1.0
CLIENT_RETRY_S = 0.1
TURN_S = 60.0
TOOL_CALL_S = 4.0


@dataclass(eq=False)
class Running:
    """One process that runs, and the parts of it that must be empty at the end."""

    bus: ProcessBus
    parts: TurnParts | None = None
    writers: TurnWriters | None = None
    holds: Holds | None = None
    stops: Stops | None = None
    loop: WorkLoop | None = None
    main: "asyncio.Task[None] | None" = None


class Cluster:
    """The processes, by role; a role's process is started again a while after its death."""

    def __init__(
        self, *, can_continue: bool = False, latency_s: float = 0.0, gap_s: float = GAP_S, seed: int = 0
    ) -> None:
        chance = random.Random(seed)
        self.network = Network(latency_s=(lambda: chance.uniform(0, latency_s)) if latency_s else float)
        self.running: dict[str, Running] = {}
        self.store = MemoryStore()
        self.shop = ToolShop(self.network.bus)
        self.faults: list[str] = []
        self.viewers: list[Viewer] = []
        self.asked: dict[str, str] = {}
        self.accepted: set[str] = set()
        self.restarts_s = RESTART_S
        self._started = 0
        self._clients: set[asyncio.Task[None]] = set()
        self.model_calls: list[tuple[TurnRef, int, int]] = []
        self.model = CountingModel(self._on_model_call, can_continue, gap_s)

    # -- processes ----------------------------------------------------------------------------------

    async def start(self) -> None:
        for role in ALL_ROLES:
            await self.start_process(role)

    async def start_process(self, role: str) -> None:
        self._started += 1
        # The first ones keep their plain names, so that plans can name them.
        name = role if role not in self.network.processes else f"{role}-{self._started}"
        bus = ProcessBus(self.network, Process(name), lambda: self._on_death(role))
        running = Running(bus)
        self.running[role] = running
        ready = asyncio.Event()
        mains = {
            "gateway": self._gateway,
            "llm": self._worker,
            "memory": self._memory,
            SHOP: self._shop,
        }
        main = mains[role.partition("-")[0]]
        running.main = asyncio.get_running_loop().create_task(
            self._live(main(running, ready)), context=bus.process.context()
        )
        await ready.wait()

    async def _live(self, main: Coroutine[Any, Any, None]) -> None:
        try:
            await main
        except* Exception as group:  # noqa: BLE001 - whatever ends a process is a finding
            self.faults.append(f"a process failed: {group.exceptions!r}")

    def _on_death(self, role: str) -> None:
        loop = asyncio.get_running_loop()
        context = Context()
        loop.call_later(
            self.restarts_s, lambda: self._client(self.start_process(role), context), context=context
        )

    def _client(self, work: Coroutine[Any, Any, None], context: Context | None = None) -> None:
        task = asyncio.get_running_loop().create_task(work, context=context or Context())
        self._clients.add(task)
        task.add_done_callback(self._client_done)

    def _client_done(self, task: "asyncio.Task[None]") -> None:
        self._clients.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.faults.append(f"a client failed: {error!r}")

    async def _gateway(self, running: Running, ready: asyncio.Event) -> None:
        settings = GatewaySettings(gateway_turn_s=TURN_S, gateway_tool_call_s=TOOL_CALL_S)
        parts = TurnParts(running.bus, home=running.bus.process.name, ids=IDS, settings=settings)
        running.parts, running.writers = parts, parts.writers
        await parts.start()
        running.loop = WorkLoop(running.bus, TURNS, parts.runner.work, slots=8, pullers=1)
        async with asyncio.TaskGroup() as tasks:
            for endless in parts.endless:
                tasks.create_task(endless())
            tasks.create_task(running.loop.run())
            ready.set()

    async def _worker(self, running: Running, ready: asyncio.Event) -> None:
        bus = running.bus
        catalogue = Catalogue([self.model], clock=asyncio.get_running_loop().time)
        writers, stops = TurnWriters(bus), Stops(bus)
        holds = Holds(bus, bus.process.name, PenRole.WORKER)
        running.writers, running.stops, running.holds = writers, stops, holds

        def new_generation(job: GenerateJob) -> Generation:
            return Generation(bus, job, catalogue, stops, window_ms=0)

        async def list_models(_: ListModels) -> ModelList:
            return await catalogue.list()

        worker = GenerationWorker(
            bus,
            holder=bus.process.name,
            holds=holds,
            pen=Pen(bus),
            writers=writers,
            stops=stops,
            new_generation=new_generation,
        )
        for part in (writers, stops, holds):
            await part.start()
        bus.answer(LLM_MODELS, ListModels, list_models)
        running.loop = WorkLoop(bus, llm_jobs(POOL), worker.work, slots=8, pullers=1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(writers.run())
            tasks.create_task(stops.run())
            tasks.create_task(running.loop.run())
            ready.set()

    async def _memory(self, running: Running, ready: asyncio.Event) -> None:
        self.store.bind(running.bus)
        ready.set()
        await asyncio.Event().wait()

    async def _shop(self, running: Running, ready: asyncio.Event) -> None:
        offers = await self.shop.offer(running.bus)
        ready.set()
        await offers.run()

    @property
    def has_frozen(self) -> bool:
        """Whether a process was stalled: one that has lost a turn may call what it was about to."""
        return any(one.has_frozen for one in self.network.processes.values())

    # -- clients ------------------------------------------------------------------------------------

    def bus_turn_id(self, client_turn_id: str) -> str:
        return IDS.turn_id(OWNER.owner_id, client_turn_id)

    def start_turn(self, client_turn_id: str, gateway: str) -> Viewer:
        """Start a turn as a client does that tries on, with the same id, until it is accepted."""
        viewer = self._viewer(client_turn_id, f"starter {client_turn_id} on {gateway}")
        self.asked.setdefault(client_turn_id, f"q{client_turn_id}")

        async def attempt(parts: TurnParts) -> None:
            frame = StartTurnFrame(
                type="start_turn",
                turn_id=client_turn_id,
                text=self.asked[client_turn_id],
                collections=(),
                # It names no page, but only who gathers knows that.
                web=client_turn_id not in AT_ONCE,
                tools=TOOLS if client_turn_id in WITH_TOOLS else (),
            )
            accepted = await parts.door.start(OWNER, frame, viewer.sink())
            viewer.accept(accepted.watch)
            self.accepted.add(client_turn_id)

        self._client(self._watch(viewer, gateway, attempt))
        return viewer

    def watch_turn(self, client_turn_id: str, gateway: str, like: Viewer | None = None) -> Viewer:
        """Watch a turn from its start, or from where another viewer stands."""
        viewer = self._viewer(client_turn_id, f"watcher {len(self.viewers)} of {client_turn_id} on {gateway}")
        if like is not None:
            viewer.after_seq, viewer.text, viewer.terminal = like.after_seq, like.text, ""
            if like.terminal:
                viewer.after_seq, viewer.text = 0, ""
        self._client(self._watch(viewer, gateway, None))
        return viewer

    def _viewer(self, client_turn_id: str, name: str) -> Viewer:
        viewer = Viewer(name, client_turn_id, began_s=asyncio.get_running_loop().time())
        self.viewers.append(viewer)
        return viewer

    async def _watch(
        self,
        viewer: Viewer,
        gateway: str,
        start: Callable[[TurnParts], Coroutine[Any, Any, None]] | None,
    ) -> None:
        """Start or resume on a gateway, and on the other one when that is gone, until the turn's end."""
        roles = [gateway, *(role for role in GATEWAYS if role != gateway)]
        while not viewer.terminal:
            for role in roles:
                running = self.running[role]
                attempt = start if start and viewer.turn not in self.accepted else self._resume(viewer)
                if running.bus.process.is_dead or not await self._in_gateway(running, attempt):
                    await asyncio.sleep(CLIENT_RETRY_S)
                    continue
                while not viewer.terminal and not running.bus.process.is_dead:  # noqa: ASYNC110 - a client polls
                    await asyncio.sleep(CLIENT_RETRY_S)
                if viewer.terminal:
                    await self._in_gateway(running, self._release(viewer))
                    return

    def _resume(self, viewer: Viewer) -> Callable[[TurnParts], Coroutine[Any, Any, None]]:
        async def attempt(parts: TurnParts) -> None:
            found = await parts.door.resume(OWNER, viewer.turn, viewer.after_seq, viewer.sink())
            viewer.accept(found.watch)

        return attempt

    def _release(self, viewer: Viewer) -> Callable[[TurnParts], Coroutine[Any, Any, None]]:
        async def release(parts: TurnParts) -> None:
            if viewer.watch is not None:
                await parts.door.release(viewer.watch)

        return release

    async def _in_gateway(
        self, running: Running, attempt: Callable[[TurnParts], Coroutine[Any, Any, None]]
    ) -> bool:
        """Run a client's frame inside a gateway's process; False when it is refused or dies with it."""
        assert running.parts is not None
        if running.loop is None:
            return False
        context = running.bus.process.context()
        task = asyncio.get_running_loop().create_task(attempt(running.parts), context=context)
        await asyncio.wait([task])
        if task.cancelled():
            return False
        error = task.exception()
        if error is not None and not isinstance(error, ParleyError):
            self.faults.append(f"a client's frame failed: {error!r}")
        return error is None

    def cancel_turn(self, client_turn_id: str, gateway: str) -> None:
        """Stop a turn as a client does: the edge sees to it."""

        async def attempt(parts: TurnParts) -> None:
            ref: TurnRef = await parts.door.cancel(OWNER, client_turn_id)
            parts.stopper.see_to(ref)

        async def once() -> None:
            running = self.running[gateway]
            if not running.bus.process.is_dead:
                await self._in_gateway(running, attempt)

        self._client(once())

    def _on_model_call(self, job: GenerateJob) -> None:
        caller = current_process()
        records = pen_records(self.network.bus, job.turn.turn_id)
        rounds = sum(bool(message.tool_calls) for message in job.messages)
        self.model_calls += [
            (job.turn, number, rounds)
            for number, record in enumerate(records, start=1)
            if caller is not None and isinstance(record, PenClaim) and record.holder == caller.name
        ]

    @property
    def clients_at_work(self) -> int:
        return len(self._clients)
