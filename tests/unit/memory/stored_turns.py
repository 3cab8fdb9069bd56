"""Turns to store, and a memory service to store them in."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from parley_contracts.citations import Citation, DocumentRef
from parley_contracts.memory import (
    ConversationTurnCompleted,
    ReadConversation,
    StoredMessage,
    StoreTurn,
    StoreUserMessage,
)
from parley_contracts.model import WireModel
from parley_contracts.turns import Seal, Support, TurnOutcome, TurnRef
from parley_memory.attachment_shelf import AttachmentBounds, AttachmentShelf
from parley_memory.conversation_shelf import ConversationShelf
from parley_memory.data_rights import DataRights
from parley_memory.handlers import MemoryHandlers
from parley_memory.history import HistoryReader
from parley_memory.metrics import MemoryMetrics
from parley_memory.outbox import Outbox
from parley_memory.removals import Removals
from parley_memory.tables import STORE
from parley_memory.turn_reader import TurnReader
from parley_memory.turn_store import TurnStore
from parley_messaging.memory_objects import MemoryObjects
from parley_storage import Database, migrate, open_database
from prometheus_client import CollectorRegistry
from sqlalchemy import URL

ALICE = "alice"
BOB = "bob"


@dataclass
class RecordingBus:
    """Takes events; refuses the attempts named, counted from 1."""

    refused_attempts: frozenset[int] = frozenset()
    attempts: int = 0
    published: list[tuple[str, ConversationTurnCompleted, str]] = field(
        default_factory=list[tuple[str, ConversationTurnCompleted, str]]
    )

    async def publish_event(self, subject: str, event: WireModel, *, message_id: str) -> None:
        self.attempts += 1
        if self.attempts in self.refused_attempts:
            raise ConnectionError("no acknowledgement")
        assert isinstance(event, ConversationTurnCompleted)
        self.published.append((subject, event, message_id))


@dataclass
class SetClock:
    """Says what time it is, Unix milliseconds."""

    now_ms: int = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


FILE_BOUNDS = AttachmentBounds(count=5, size_bytes=1000, lasts_ms=60_000)


@dataclass(frozen=True)
class Memory:
    """A memory service without its bus."""

    database: Database
    handlers: MemoryHandlers
    rights: DataRights
    outbox: Outbox
    bus: RecordingBus
    registry: CollectorRegistry
    files: AttachmentShelf
    removals: Removals
    objects: MemoryObjects
    clock: "SetClock"

    async def messages(self, conversation_id: str, owner_id: str = ALICE) -> tuple[StoredMessage, ...]:
        request = ReadConversation(owner_id=owner_id, conversation_id=conversation_id)
        return (await self.handlers.read_conversation(request)).messages


@asynccontextmanager
async def open_memory(
    url: URL,
    bus: RecordingBus | None = None,
    *,
    reply_bytes: int = 1_000_000,
    objects: MemoryObjects | None = None,
    bounds: AttachmentBounds = FILE_BOUNDS,
) -> AsyncGenerator[Memory]:
    async with open_database(STORE, url) as database:
        await migrate(database)
        registry = CollectorRegistry()
        metrics = MemoryMetrics(registry)
        used_bus = bus or RecordingBus()
        outbox = Outbox(database, used_bus, metrics, first_retry_s=0.001)
        shelf = ConversationShelf(database, reply_bytes=reply_bytes)
        store, history, turns = TurnStore(database), HistoryReader(database), TurnReader(database)
        handlers = MemoryHandlers(store, history, turns, shelf, outbox=outbox, metrics=metrics)
        clock, objects = SetClock(), objects or MemoryObjects()
        removals = Removals(database, objects, clock_ms=clock)
        rights = DataRights(database, removals, page_bytes=reply_bytes)
        files = AttachmentShelf(database, removals, bounds)
        yield Memory(database, handlers, rights, outbox, used_bus, registry, files, removals, objects, clock)


def turn_of(number: int, owner_id: str = ALICE) -> TurnRef:
    return TurnRef(
        turn_id=f"{owner_id}-{number:04}", client_turn_id=f"turn-{number}", owner_id=owner_id, home="gateway"
    )


def citation(text: str = "a passage") -> Citation:
    document = DocumentRef(id="d1", name="guide.pdf", collection="default")
    return Citation(n=1, text=text, score=0.5, document=document, page=3, start=10, end=19)


def store_turn(
    number: int,
    conversation_id: str = "c1",
    owner_id: str = ALICE,
    *,
    outcome: TurnOutcome = TurnOutcome.COMPLETED,
    question: str | None = None,
    answer: str | None = None,
    citations: tuple[Citation, ...] = (),
    support: Support | None = None,
    is_stored: bool = True,
    attachments: tuple[str, ...] = (),
    began_ms: int | None = None,
) -> StoreTurn:
    """A request whose turn began at second `number`, unless said, and took half a second."""
    at_ms = number * 1000 if began_ms is None else began_ms
    seal = Seal(
        nonce="n",
        turn=turn_of(number, owner_id),
        conversation_id=conversation_id,
        outcome=outcome,
        user_text=f"question {number}" if question is None else question,
        text=f"answer {number}" if answer is None else answer,
        attachments=attachments,
        citations=citations,
        support=support,
        model="extractive",
        is_stored=is_stored,
        accepted_at_ms=at_ms,
        sealed_at_ms=at_ms + 500,
    )
    return StoreTurn(owner_id=owner_id, seal=seal)


def store_user_message(
    number: int, conversation_id: str = "c1", owner_id: str = ALICE, *, text: str | None = None
) -> StoreUserMessage:
    return StoreUserMessage(
        owner_id=owner_id,
        turn=turn_of(number, owner_id),
        conversation_id=conversation_id,
        text=f"question {number}" if text is None else text,
        created_at_ms=number * 1000,
    )
