"""Everything of a gateway process that turns pass through, wired together."""

from collections.abc import Callable, Coroutine
from typing import Any

from parley_contracts.turns import PenRole
from parley_messaging import Bus
from parley_messaging.holds import Holds
from parley_messaging.pen import Pen
from parley_messaging.stops import Stops
from parley_messaging.turn_watch import TurnWatches
from parley_messaging.turn_writer import TurnWriters

from parley_gateway.gathering import Gathering
from parley_gateway.ids import OwnedIds
from parley_gateway.models import Models
from parley_gateway.preparation import Preparation
from parley_gateway.question_keeper import QuestionKeeper
from parley_gateway.settings import GatewaySettings
from parley_gateway.turn_door import TurnDoor
from parley_gateway.turn_ending import TurnEnding
from parley_gateway.turn_finder import TurnFinder
from parley_gateway.turn_runner import TurnRunner
from parley_gateway.turn_stopper import TurnStopper


class TurnParts:
    """The door that turns come in by, the runner that works on them, and what both stand on."""

    def __init__(self, bus: Bus, *, home: str, ids: OwnedIds, settings: GatewaySettings) -> None:
        self.pen = Pen(bus)
        self.models = Models(bus)
        self.writers = TurnWriters(bus)
        self.watches = TurnWatches(bus, home)
        self.ending = TurnEnding(bus, self.pen, self.writers)
        finder = TurnFinder(bus, self.pen)
        self.stopper = TurnStopper(bus, self.pen, finder, self.watches, self.ending)
        self._holds = Holds(bus, home, PenRole.RUNNER)
        self._stops = Stops(bus)
        self._questions = QuestionKeeper(bus)
        self.door = TurnDoor(
            bus,
            ids=ids,
            watches=self.watches,
            finder=finder,
            models=self.models,
            turn_s=settings.gateway_turn_s,
        )
        self.runner = TurnRunner(
            bus,
            holder=home,
            holds=self._holds,
            pen=self.pen,
            watches=self.watches,
            stops=self._stops,
            preparation=Preparation(bus, self.writers, self.models, Gathering(bus, settings)),
            ending=self.ending,
            questions=self._questions,
        )

    async def start(self) -> None:
        """Subscribe to what has to be heard before the first turn."""
        for part in (self.writers, self.watches, self._holds, self._stops):
            await part.start()

    @property
    def endless(self) -> tuple[Callable[[], Coroutine[Any, Any, None]], ...]:
        """What runs until the process stops."""
        return (self.writers.run, self.watches.run, self.stopper.run, self._questions.run)
