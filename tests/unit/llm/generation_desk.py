"""A model that does as it is told, and a desk where its answers are written."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from parley_contracts import subjects
from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.turn_events import (
    EpochStarted,
    GenerationFinished,
    TextDelta,
    known_event,
)
from parley_contracts.turns import TokenUsage, TurnRef
from parley_llm.catalogue import Catalogue
from parley_llm.generation import Generation
from parley_llm.language_model import Chunk, FinalChunk, TextChunk
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.message_headers import now_ms
from parley_messaging.stops import Stops
from parley_messaging.streams import TURN_EVENTS
from parley_messaging.turn_log import TurnLog
from parley_messaging.turn_writer import TurnWriters

from tests.unit.llm.jobs import job_for

HOME = "h1"
WAIT_S = 5.0


@dataclass
class Scripted:
    """A model that writes its pieces, then fails, waits or ends as the test says."""

    name: str = "scripted"
    pieces: tuple[str, ...] = ("one ", "two ", "three")
    error: Exception | None = None
    fails_after: int = 0
    waits_after: int | None = None
    can_continue: bool = True
    written: list[str] = field(default_factory=list[str])
    usage: TokenUsage = field(default_factory=lambda: TokenUsage(prompt_tokens=5, completion_tokens=3))
    was_aborted: bool = False
    has_waited: bool = False

    @property
    def pool(self) -> str:
        return self.name

    def serves(self, model_id: str) -> bool:
        return model_id == self.name

    async def models(self) -> tuple[ModelInfo, ...]:
        return ()

    async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        self.written.append(written)
        rest = "".join(self.pieces).removeprefix(written)
        try:
            for number, piece in enumerate(piece for piece in self.pieces if piece in rest):
                if self.error and number == self.fails_after:
                    raise self.error
                if number == self.waits_after:
                    self.has_waited = True
                    await asyncio.Event().wait()
                yield TextChunk(piece)
            if self.error:
                raise self.error
        except (GeneratorExit, asyncio.CancelledError):
            self.was_aborted = True
            raise
        yield FinalChunk(self.usage, "stop")


class Desk:
    """Where one answer is written, and read back."""

    def __init__(self, bus: MemoryBus, writers: TurnWriters, stops: Stops, *models: Scripted) -> None:
        self.bus, self.writers, self.stops = bus, writers, stops
        self.catalogue = Catalogue(models)
        self.turn = TurnRef(turn_id=uuid4().hex, client_turn_id="c1", owner_id="o1", home=HOME)
        self.subject = subjects.turn_events(HOME, self.turn.turn_id)

    async def write(
        self,
        model: str = "scripted",
        *,
        standing: TurnLog | None = None,
        left_s: float = 60,
        window_ms: float = 0,
        last_seq: int = 1_000_003,
        **options: bool,
    ) -> None:
        deadline_ms = now_ms() + int(left_s * 1000)
        update = {"turn": self.turn, "deadline_ms": deadline_ms, "last_seq": last_seq}
        job = job_for(model).model_copy(update=update)
        generation = Generation(self.bus, job, self.catalogue, self.stops, window_ms=window_ms)
        options.setdefault("is_cancelled", False)
        with self.stops.following(self.turn.turn_id):
            async with asyncio.timeout(WAIT_S), self.writers.open(self.subject, 3) as writer:
                await generation.write(writer, standing or TurnLog(last_seq=last_seq), **options)

    async def events(self) -> list[object]:
        found: list[object] = []
        position = 1
        while stored := await self.bus.next_stored(TURN_EVENTS, self.subject, position):
            found.append(known_event(stored.data))
            position = stored.stream_seq + 1
        return found

    async def told(self) -> tuple[EpochStarted, str, GenerationFinished]:
        """Return how the answer began, what its deltas say, and how it ended."""
        opening, *deltas, ended = await self.events()
        assert isinstance(opening, EpochStarted)
        assert isinstance(ended, GenerationFinished)
        assert all(isinstance(event, TextDelta) for event in deltas)
        return opening, "".join(event.text for event in deltas if isinstance(event, TextDelta)), ended


@asynccontextmanager
async def writing(*models: Scripted) -> AsyncGenerator[Desk]:
    bus = MemoryBus()
    writers, stops = TurnWriters(bus), Stops(bus)
    await writers.start()
    await stops.start()
    try:
        yield Desk(bus, writers, stops, *models)
    finally:
        await bus.close()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not is_so():  # noqa: ASYNC110 - a model tells nobody that it was called
            await asyncio.sleep(0.005)
