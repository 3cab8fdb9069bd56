"""Everything of a gateway process that turns pass through, wired together."""

from collections.abc import Callable, Coroutine
from typing import Any

from parley_contracts.turns import PenRole
from parley_envelope import Originals
from parley_limits import MemoryBuckets
from parley_messaging import Bus
from parley_messaging.circuit import Circuits
from parley_messaging.holds import Holds
from parley_messaging.pen import Pen
from parley_messaging.queues import WorkQueue, llm_jobs
from parley_messaging.stops import Stops
from parley_messaging.turn_watch import TurnWatches
from parley_messaging.turn_writer import TurnWriters

from parley_gateway.admission import Admission, Capacity
from parley_gateway.citation_counts import CitationCounts
from parley_gateway.context import ContextAssembly
from parley_gateway.ended_turns import EndedTurns
from parley_gateway.gathering import Gathering
from parley_gateway.ids import OwnedIds
from parley_gateway.limits import Limits
from parley_gateway.model_choice import ModelChoice
from parley_gateway.models import Models
from parley_gateway.position_watches import PositionWatches
from parley_gateway.preparation import Preparation
from parley_gateway.question_keeper import QuestionKeeper
from parley_gateway.queue_lag import QueueLag
from parley_gateway.sent_files import SentFiles
from parley_gateway.settings import GatewaySettings
from parley_gateway.tool_calling import ToolCalling
from parley_gateway.tool_catalogue import ToolCatalogue
from parley_gateway.tool_rounds import ToolRounds
from parley_gateway.turn_commands import TurnCommands
from parley_gateway.turn_door import TurnDoor
from parley_gateway.turn_ending import TurnEnding
from parley_gateway.turn_erasure import TurnErasure
from parley_gateway.turn_finder import TurnFinder
from parley_gateway.turn_runner import TurnRunner
from parley_gateway.turn_stopper import TurnStopper
from parley_gateway.waiting_turns import WaitingTurns


class TurnParts:
    """The door that turns come in by, the runner that works on them, and what both stand on."""

    def __init__(
        self,
        bus: Bus,
        *,
        home: str,
        ids: OwnedIds,
        settings: GatewaySettings,
        circuits: Circuits | None = None,
        limits: Limits | None = None,
        originals: Originals | None = None,
    ) -> None:
        self.pen = Pen(bus)
        self.models = Models(bus)
        self.tools = ToolCatalogue(bus)
        self.writers = TurnWriters(bus)
        self.watches = TurnWatches(bus, home)
        circuits = circuits or Circuits()
        storing = circuits.to("memory-store")
        limits = limits or Limits(settings, MemoryBuckets())
        self.ending = TurnEnding(bus, self.pen, self.writers, storing)
        self._quotas = limits.quotas
        self.ending.count_by(limits.quotas)
        finder = TurnFinder(bus, self.pen)
        self.stopper = TurnStopper(bus, self.pen, finder, self.watches, self.ending)
        self.erasure = TurnErasure(bus, self.pen, self.stopper)
        self._holds = Holds(bus, home, PenRole.RUNNER)
        self._stops = Stops(bus)
        self._questions = QuestionKeeper(bus, storing)
        self.counts = CitationCounts(bus)
        capacity = Capacity(
            settings.gateway_turns, settings.gateway_turns_total, settings.gateway_turns_waiting
        )
        self.lag = QueueLag(bus, self._queues, max_turns=capacity.total)
        self.admission = Admission(capacity, self.lag)
        self._positions = PositionWatches(bus, home)
        self._waiting = WaitingTurns(bus, self.lag.wake)
        self.lag.on_states(self._waiting.tell)
        commands = TurnCommands(
            ids=ids,
            home=home,
            choice=ModelChoice(self.models, self.admission),
            files=SentFiles(bus, originals),
            turn_s=settings.gateway_turn_s,
        )
        self.door = TurnDoor(
            bus,
            commands=commands,
            watches=self.watches,
            finder=finder,
            ended=EndedTurns(bus, self.pen),
            admission=self.admission,
            waiting=self._waiting,
            positions=self._positions,
            limits=limits,
        )
        self.runner = self._runner(bus, settings, circuits)

    def _runner(self, bus: Bus, settings: GatewaySettings, circuits: Circuits) -> TurnRunner:
        preparation = Preparation(
            bus,
            self.writers,
            self.models,
            gathering=Gathering(bus, settings, circuits),
            context=ContextAssembly(bus, circuits),
            waiting=self._waiting,
            tools=self.tools,
        )
        return TurnRunner(
            bus,
            holder=self.watches.home,
            holds=self._holds,
            pen=self.pen,
            watches=self.watches,
            stops=self._stops,
            preparation=preparation,
            ending=self.ending,
            questions=self._questions,
            counts=self.counts,
            rounds=ToolRounds(
                self.writers,
                preparation,
                ToolCalling(bus, call_s=settings.gateway_tool_call_s),
                max_rounds=settings.gateway_tool_rounds,
            ),
        )

    def _queues(self) -> set[WorkQueue]:
        """Return the queues, besides that of turns, in which a turn may wait."""
        return {*map(llm_jobs, self.models.pools), *self._waiting.queues}

    async def start(self) -> None:
        """Subscribe to what has to be heard before the first turn."""
        hearing = (
            self.writers,
            self.watches,
            self._holds,
            self._stops,
            self._positions,
            self.tools,
            self.lag,
        )
        for part in hearing:
            await part.start()

    @property
    def endless(self) -> tuple[Callable[[], Coroutine[Any, Any, None]], ...]:
        """What runs until the process stops."""
        return (
            self.models.run,
            self.writers.run,
            self.watches.run,
            self._stops.run,
            self.stopper.run,
            self._questions.run,
            self.counts.run,
            self.lag.run,
            *(() if self._quotas is None else (self._quotas.run,)),
        )
