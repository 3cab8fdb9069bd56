"""A whole turn on one bus: the gateway's runner and a language-model worker, with scripted neighbours."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from parley_contracts import subjects
from parley_contracts.attachments import KeptAttachment
from parley_contracts.citations import DocumentRef, Passage
from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import GenerateJob, ListModels, ModelInfo, ModelList
from parley_contracts.memory import (
    History,
    ReadHistory,
    ReadTurn,
    Stored,
    StoredTurn,
    StoreTurn,
    StoreUserMessage,
)
from parley_contracts.npu import Embed, Embeddings
from parley_contracts.policy import Role
from parley_contracts.rag import Search, SearchResults
from parley_contracts.turn_events import LOG_EVENT, TERMINAL_TYPES, TurnEvent, frame_type
from parley_contracts.turns import ChatMessage, PenRole, Seal, TokenUsage
from parley_gateway.ids import OwnedIds
from parley_gateway.principal import Principal
from parley_gateway.settings import GatewaySettings
from parley_gateway.turn_door import AcceptedTurn
from parley_gateway.turn_parts import TurnParts
from parley_llm.catalogue import Catalogue
from parley_llm.generation import Generation
from parley_llm.language_model import Chunk, FinalChunk, FinishReason, Piece, TextChunk
from parley_llm.worker import GenerationWorker
from parley_messaging.bus import Bus
from parley_messaging.holds import Holds
from parley_messaging.pen import Pen
from parley_messaging.queues import TURNS, llm_jobs
from parley_messaging.stops import Stops
from parley_messaging.turn_writer import TurnWriters
from parley_messaging.work_loop import WorkLoop

OWNER = Principal("owner-1", Role.OWNER)
WAIT_S = 10.0
PIECES = ("The pen ", "passes on ", "[1].")
ANSWER = "".join(PIECES)
PASSAGE = Passage(
    text="The pen passes to the worker.",
    score=1.0,
    document=DocumentRef(id="d1", name="protocol.md", collection="default"),
    start=0,
    end=29,
)


class ScriptedModel:
    """Writes what the test says, piece by piece, and counts its calls."""

    pool = "scripted"

    def __init__(self) -> None:
        self.pieces: list[str | Piece] = list(PIECES)
        self.finish_reason: FinishReason = "stop"
        self.calls: list[GenerateJob] = []
        self.error: ParleyError | None = None
        self.can_continue = True
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.was_aborted = False
        self.script: list[list[Chunk]] = []
        """What calls write one after the other, in place of the pieces while there is any."""

    def serves(self, model_id: str) -> bool:
        return model_id in {"scripted", "seeing"}

    async def models(self) -> tuple[ModelInfo, ...]:
        blind = ModelInfo(id="scripted", pool="scripted", context_tokens=4096, owned_by="test")
        return blind, blind.model_copy(update={"id": "seeing", "capabilities": ("vision",)})

    async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        self.calls.append(job)
        if self.error:
            raise self.error
        if self.script:
            for chunk in self.script.pop(0):
                yield chunk
                await self.may_go_on.wait()
            return
        done = written
        try:
            for piece in self.pieces:
                if isinstance(piece, str) and done.startswith(piece):
                    done = done.removeprefix(piece)
                    continue
                yield TextChunk(piece) if isinstance(piece, str) else piece
                await self.may_go_on.wait()
        except GeneratorExit:
            self.was_aborted = True
            raise
        except asyncio.CancelledError:
            self.was_aborted = True
            raise
        yield FinalChunk(TokenUsage(prompt_tokens=7, completion_tokens=3), self.finish_reason)


@dataclass
class Neighbours:
    """The other services: what they were asked, and how they fail."""

    away: set[str] = field(default_factory=set[str])
    has_stored: asyncio.Event = field(default_factory=asyncio.Event)
    stored: dict[str, Seal] = field(default_factory=dict[str, Seal])
    questions: list[str] = field(default_factory=list[str])
    history: tuple[ChatMessage, ...] = ()
    files: tuple[KeptAttachment, ...] = ()
    passages: tuple[Passage, ...] = (PASSAGE,)
    searches: list[Search] = field(default_factory=list[Search])

    def _fail_if_away(self, name: str) -> None:
        if name in self.away:
            raise ParleyError(ErrorCode.UNAVAILABLE, f"{name} is away")

    async def embed(self, request: Embed) -> Embeddings:
        self._fail_if_away("npu")
        return Embeddings(model="m", engine="e", dimensions=1, vectors=b"\0\0\0\0")

    async def search(self, request: Search) -> SearchResults:
        self._fail_if_away("rag")
        if "nowhere" in (request.collections or ()):
            raise ParleyError(ErrorCode.NOT_FOUND, "There is no collection 'nowhere'.", field="collections")
        self.searches.append(request)
        return SearchResults(results=self.passages)

    async def read_history(self, request: ReadHistory) -> History:
        self._fail_if_away("memory")
        return History(messages=self.history, attachments=self.files)

    async def store_turn(self, request: StoreTurn) -> Stored:
        self._fail_if_away("memory")
        turn_id = request.seal.turn.turn_id
        is_new = turn_id not in self.stored
        self.stored.setdefault(turn_id, request.seal)
        self.has_stored.set()
        return Stored(is_new=is_new)

    async def read_turn(self, request: ReadTurn) -> StoredTurn:
        self._fail_if_away("memory")
        seal = self.stored.get(request.turn_id)
        if seal is None or seal.turn.owner_id != request.owner_id:
            raise ParleyError(ErrorCode.NOT_FOUND, "There is no such turn.", field="turn_id")
        return StoredTurn(
            conversation_id=seal.conversation_id,
            outcome=seal.outcome,
            text=seal.text,
            support=seal.support,
        )

    async def store_question(self, request: StoreUserMessage) -> Stored:
        self._fail_if_away("memory")
        self.questions.append(request.text)
        return Stored(is_new=True)

    def bind(self, bus: Bus, catalogue: Catalogue) -> None:
        async def list_models(_: ListModels) -> ModelList:
            self._fail_if_away("llm")
            return await catalogue.list()

        bus.answer(subjects.NPU_EMBED, Embed, self.embed)
        bus.answer(subjects.RAG_SEARCH, Search, self.search)
        bus.answer(subjects.MEMORY_READ_HISTORY, ReadHistory, self.read_history)
        bus.answer(subjects.MEMORY_READ_TURN, ReadTurn, self.read_turn)
        bus.answer(subjects.MEMORY_STORE_TURN, StoreTurn, self.store_turn)
        bus.answer(subjects.MEMORY_STORE_USER_MESSAGE, StoreUserMessage, self.store_question)
        bus.answer(subjects.LLM_MODELS, ListModels, list_models)


class Seen:
    """What a watcher of a turn was handed, with ways to wait for it."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self._changed = asyncio.Event()

    def take(self, frame: bytes, _: int) -> None:
        self.frames.append(frame)
        self._changed.set()

    @property
    def events(self) -> list[TurnEvent]:
        return [LOG_EVENT.validate_json(frame) for frame in self.frames]

    @property
    def types(self) -> list[str]:
        return [frame_type(frame) for frame in self.frames]

    @property
    def text(self) -> str:
        return "".join(getattr(event, "text", "") for event in self.events if event.type == "text_delta")  # type: ignore[attr-defined]  # every event of the union has a type

    async def until(self, is_so: Callable[["Seen"], bool]) -> "Seen":
        async with asyncio.timeout(WAIT_S):
            while not is_so(self):
                self._changed.clear()
                await self._changed.wait()
        return self

    async def ended(self) -> TurnEvent:
        await self.until(lambda seen: not TERMINAL_TYPES.isdisjoint(seen.types))
        return self.events[-1]


class Gateway:
    """One gateway's turn parts."""

    def __init__(self, bus: Bus, home: str, **changed: object) -> None:
        usual = {"gateway_history_s": 10, "gateway_embed_s": 10, "gateway_search_s": 10}
        settings = GatewaySettings.model_validate({"gateway_turn_s": 20, **usual, **changed})
        self.parts = TurnParts(bus, home=home, ids=OwnedIds(b"secret"), settings=settings)
        self.pen, self.door, self.stopper = self.parts.pen, self.parts.door, self.parts.stopper
        self.ending = self.parts.ending
        self.loop = WorkLoop(bus, TURNS, self.parts.runner.work, slots=8, pullers=1)

    async def start(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        await self.parts.start()
        return [tasks.create_task(endless()) for endless in self.parts.endless]

    async def ask(self, text: str = "Who has the pen?", **fields: object) -> tuple[AcceptedTurn, Seen]:
        seen = Seen()
        frame = StartTurnFrame.model_validate({"type": "start_turn", "text": text, **fields})
        return await self.door.start(OWNER, frame, seen.take), seen


class Rig:
    """Two gateways, one worker, one model and the neighbours."""

    def __init__(self, bus: Bus, **changed: object) -> None:
        self.bus = bus
        self.model = ScriptedModel()
        self.neighbours = Neighbours()
        self.first, self.second = (Gateway(bus, home, **changed) for home in ("gateway-1", "gateway-2"))
        self.catalogue = Catalogue([self.model])
        self.worker_writers, self.worker_stops = TurnWriters(bus), Stops(bus)
        self.worker_holds = Holds(bus, "llm-1", PenRole.WORKER)
        self.worker = GenerationWorker(
            bus,
            holder="llm-1",
            holds=self.worker_holds,
            pen=Pen(bus),
            writers=self.worker_writers,
            stops=self.worker_stops,
            new_generation=self._new_generation,
        )
        self.worker_loop = WorkLoop(bus, llm_jobs("scripted"), self.worker.work, slots=8, pullers=1)

    async def ended_by_another(self, seen: "Seen") -> TurnEvent:
        """Let the first gateway's runner die once there are words, and return how the second one's ends."""
        async with asyncio.TaskGroup() as tasks:
            dying = tasks.create_task(self.first.loop.run())
            await seen.until(lambda found: bool(found.text))
            dying.cancel()
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(self.second.loop.run())
            self.model.may_go_on.set()
            ended = await seen.ended()
            working.cancel()
        return ended

    def _new_generation(self, job: GenerateJob) -> Generation:
        return Generation(self.bus, job, self.catalogue, self.worker_stops, window_ms=0)


@asynccontextmanager
async def running(
    bus: Bus, *, runs_turns: bool = True, writes_answers: bool = True, **changed: object
) -> AsyncGenerator[Rig]:
    """Run the rig while the body tests it; its work loops may be left out, and settings changed."""
    rig = Rig(bus, **changed)
    rig.neighbours.bind(bus, rig.catalogue)
    await bus.start()
    async with asyncio.TaskGroup() as tasks:
        endless = [*await rig.first.start(tasks), *await rig.second.start(tasks)]
        for part in (rig.worker_writers, rig.worker_stops, rig.worker_holds):
            await part.start()
        endless += [tasks.create_task(rig.worker_writers.run()), tasks.create_task(rig.worker_stops.run())]
        loops: list[WorkLoop] = []
        if runs_turns:
            loops.append(rig.first.loop)
        if writes_answers:
            loops.append(rig.worker_loop)
        endless += [tasks.create_task(loop.run()) for loop in loops]
        try:
            yield rig
        finally:
            for task in endless:
                task.cancel()
