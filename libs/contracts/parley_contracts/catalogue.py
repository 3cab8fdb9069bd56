"""Every channel: its subject, what travels on it, who sends and who receives, and what it means."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel

from parley_contracts import (
    browser,
    client_frames,
    health,
    llm,
    memory,
    npu,
    rag,
    subjects,
    turn_events,
    turns,
)
from parley_contracts.errors import ErrorBody
from parley_contracts.replies import Done

CORE = "core"
"""`carried_by` of what no stream keeps."""


class ChannelKind(StrEnum):
    """What a message on a channel is.

    A command is for one handler, an event for anybody, a request is answered, and a claim is the first
    (and only) message of its subject or is refused.
    """

    COMMAND = "command"
    EVENT = "event"
    REQUEST = "request"
    CLAIM = "claim"


@dataclass(frozen=True, slots=True)
class Channel:
    """One subject, or a family of subjects that differ in their `*` parts.

    Attributes:
        pattern: The subject; one `*` for each of `parameters`.
        kind: What a message on it is.
        carried_by: The JetStream stream that keeps it, or `CORE`.
        messages: What travels on it.
        replies: What comes back, an error included; empty unless it is a request.
        sender: Who publishes.
        receiver: Who handles it; of a request that errors are replies to, also its queue group.
        meaning: One line for people.
        parameters: Names of the `*` parts, in order.
        is_bare: Its messages carry none of our headers.
    """

    pattern: str
    kind: ChannelKind
    carried_by: str
    messages: tuple[type[BaseModel], ...]
    sender: str
    receiver: str
    meaning: str
    replies: tuple[type[BaseModel], ...] = ()
    parameters: tuple[str, ...] = ()
    is_bare: bool = False

    @property
    def name(self) -> str:
        """What the channel is called: its fixed subject parts, such as `turn_pen`."""
        parts = self.pattern.removeprefix(f"{subjects.PREFIX}.").split(".")
        return "_".join(part for part in parts if part != "*")

    @property
    def address(self) -> str:
        """The pattern with `{name}` in place of each `*`."""
        names = iter(self.parameters)
        return ".".join(f"{{{next(names)}}}" if part == "*" else part for part in self.pattern.split("."))


@dataclass(frozen=True, slots=True)
class SocketChannel:
    """The WebSocket of the public surface; turn events pass through it as they stand on the bus."""

    path: str
    from_client: tuple[type[BaseModel], ...]
    to_client: tuple[type[BaseModel], ...]
    meaning: str


def _request(
    receiver: str,
    subject: str,
    asked: type[BaseModel],
    reply: type[BaseModel],
    meaning: str,
    *,
    sender: str = "gateway",
    parameters: tuple[str, ...] = (),
) -> Channel:
    return Channel(
        subject,
        ChannelKind.REQUEST,
        CORE,
        (asked,),
        sender,
        receiver,
        meaning,
        replies=(reply, ErrorBody),
        parameters=parameters,
    )


RELAYED_EVENTS: tuple[type[turn_events.TurnEvent], ...] = (
    turn_events.EpochStarted,
    turn_events.StageChanged,
    turn_events.ContextReady,
    turn_events.TextDelta,
    turn_events.TurnCompleted,
    turn_events.TurnFailed,
    turn_events.TurnCancelled,
)
"""Turn events that clients see."""

LOG_EVENTS: tuple[type[turn_events.TurnEvent], ...] = (*RELAYED_EVENTS, turn_events.GenerationFinished)
"""All that stands in a turn's log."""

TURN_CHANNELS = (
    Channel(
        subjects.ALL_TURN_STARTS,
        ChannelKind.COMMAND,
        "TURNS",
        (turns.StartTurn,),
        "gateway edge",
        "one turn runner",
        "Run one turn; stored before the client hears that it is accepted.",
        parameters=("turn_id",),
    ),
    Channel(
        subjects.ALL_PEN_SLOTS,
        ChannelKind.CLAIM,
        "TURN_PEN",
        (turns.PenClaim, turns.Seal),
        "turn runner, llm worker, gateway edge",
        "whoever may write the turn next",
        "Who may write a turn (its epoch is the slot's number), and in the last slot how it ended.",
        parameters=("turn_id", "number"),
        is_bare=True,
    ),
    Channel(
        subjects.ALL_CANCELS,
        ChannelKind.COMMAND,
        "TURN_PEN",
        (turns.CancelTurn,),
        "gateway edge",
        "whoever holds the turn",
        "Stop a turn; stored before the client hears that it is accepted.",
        parameters=("turn_id",),
        is_bare=True,
    ),
    Channel(
        subjects.ALL_HOLDS,
        ChannelKind.REQUEST,
        CORE,
        (turns.HoldQuestion,),
        "who got a redelivered job",
        "who holds the turn's job (no queue group)",
        "Is this job still being worked on? Silence is no.",
        replies=(turns.HoldAnswer,),
        parameters=("turn_id",),
    ),
    Channel(
        subjects.ALL_TURN_EVENTS,
        ChannelKind.EVENT,
        "TURN_EVENTS",
        LOG_EVENTS,
        "turn runner, llm worker",
        "every watcher",
        "The log of a turn, in order of seq; each body is the frame that clients receive.",
        parameters=("home", "turn_id"),
        is_bare=True,
    ),
    Channel(
        subjects.ALL_TURN_QUEUES,
        ChannelKind.EVENT,
        CORE,
        (client_frames.QueuePosition,),
        "gateway that waits with the turn",
        "every watcher",
        "How far a waiting turn has come; each body is the frame that clients receive.",
        parameters=("home", "turn_id"),
        is_bare=True,
    ),
)

LLM_CHANNELS = (
    Channel(
        subjects.ALL_GENERATE,
        ChannelKind.COMMAND,
        "LLM_JOBS",
        (llm.GenerateJob,),
        "turn runner",
        "one llm worker of the pool",
        "Write the answer of a turn; the pen passes with it.",
        parameters=("pool",),
    ),
    _request("llm", subjects.LLM_MODELS, llm.ListModels, llm.ModelList, "Which models can be reached now?"),
)

RAG_CHANNELS = (
    Channel(
        subjects.RAG_INGEST,
        ChannelKind.COMMAND,
        "INGEST",
        (rag.IngestDocument,),
        "gateway",
        "one rag worker",
        "Read, cut, embed and index a document.",
    ),
    _request("rag", subjects.RAG_SEARCH, rag.Search, rag.SearchResults, "The best passages for a query."),
    _request("rag", subjects.RAG_CREATE_DOCUMENT, rag.CreateDocument, rag.DocumentCreated, "Take an upload."),
    _request(
        "rag", subjects.RAG_READ_DOCUMENT, rag.ReadDocument, rag.Document, "One document, how it stands."
    ),
    _request("rag", subjects.RAG_LIST_DOCUMENTS, rag.ListDocuments, rag.DocumentList, "Newest first."),
    _request("rag", subjects.RAG_DELETE_DOCUMENT, rag.DeleteDocument, Done, "Remove it and all made of it."),
    _request(
        "rag", subjects.RAG_READ_PASSAGE, rag.ReadPassage, rag.PassageText, "A span and its surroundings."
    ),
    _request("rag", subjects.RAG_LIST_COLLECTIONS, rag.ListCollections, rag.CollectionList, "All, by name."),
    _request(
        "rag", subjects.RAG_CREATE_COLLECTION, rag.CreateCollection, rag.Collection, "Make a collection."
    ),
    _request(
        "rag", subjects.RAG_DELETE_COLLECTION, rag.DeleteCollection, Done, "Remove it with its documents."
    ),
)

MEMORY_CHANNELS = (
    _request(
        "memory",
        subjects.MEMORY_STORE_USER_MESSAGE,
        memory.StoreUserMessage,
        memory.Stored,
        "Keep what the user wrote, once.",
    ),
    _request(
        "memory", subjects.MEMORY_STORE_TURN, memory.StoreTurn, memory.Stored, "Keep a sealed turn, once."
    ),
    _request("memory", subjects.MEMORY_READ_HISTORY, memory.ReadHistory, memory.History, "For a prompt."),
    _request(
        "memory",
        subjects.MEMORY_READ_TURN,
        memory.ReadTurn,
        memory.StoredTurn,
        "How a turn ended whose log has expired.",
    ),
    _request(
        "memory",
        subjects.MEMORY_LIST_CONVERSATIONS,
        memory.ListConversations,
        memory.ConversationList,
        "Conversations, the latest used first.",
    ),
    _request(
        "memory",
        subjects.MEMORY_READ_CONVERSATION,
        memory.ReadConversation,
        memory.ConversationMessages,
        "A conversation with its messages.",
    ),
    _request(
        "memory", subjects.MEMORY_RENAME_CONVERSATION, memory.RenameConversation, Done, "Give it a title."
    ),
    _request(
        "memory", subjects.MEMORY_DELETE_CONVERSATION, memory.DeleteConversation, Done, "Remove it for good."
    ),
    Channel(
        subjects.CONVERSATION_TURN_COMPLETED,
        ChannelKind.EVENT,
        "DOMAIN_EVENTS",
        (memory.ConversationTurnCompleted,),
        "memory",
        "anyone",
        "A turn of a conversation is stored; published at least once.",
    ),
)

OTHER_CHANNELS = (
    _request(
        "npu", subjects.NPU_EMBED, npu.Embed, npu.Embeddings, "Vectors of texts.", sender="gateway, rag"
    ),
    _request(
        "npu",
        subjects.NPU_RECOGNISE,
        npu.Recognise,
        npu.RecognisedText,
        "The text on a picture of a page.",
        sender="rag",
    ),
    _request(
        "npu",
        subjects.NPU_RERANK,
        npu.Rerank,
        npu.RerankScores,
        "How well texts answer a query.",
        sender="rag",
    ),
    _request("browser", subjects.BROWSER_READ, browser.ReadPage, browser.PageText, "A public page as text."),
    _request(
        "the service named",
        subjects.ALL_HEALTH,
        health.HealthQuestion,
        health.ServiceHealth,
        "How is a service, and what it depends on?",
        sender="gateway, anyone",
        parameters=("service",),
    ),
)

CHANNELS: tuple[Channel, ...] = (
    *TURN_CHANNELS,
    *LLM_CHANNELS,
    *RAG_CHANNELS,
    *MEMORY_CHANNELS,
    *OTHER_CHANNELS,
)

SOCKET = SocketChannel(
    "/ws",
    from_client=(
        client_frames.StartTurnFrame,
        client_frames.CancelTurnFrame,
        client_frames.ResumeTurnFrame,
        client_frames.PingFrame,
    ),
    to_client=(
        client_frames.TurnAccepted,
        client_frames.CancelAccepted,
        *RELAYED_EVENTS,
        turn_events.Sync,
        client_frames.QueuePosition,
        client_frames.ErrorFrame,
        client_frames.Pong,
    ),
    meaning="JSON text frames, many turns on one socket. Leaving is not stopping.",
)


def message_types() -> tuple[type[BaseModel], ...]:
    """Return every type that travels, each once, by name."""
    found = {*SOCKET.from_client, *SOCKET.to_client}
    for channel in CHANNELS:
        found.update(channel.messages, channel.replies)
    return tuple(sorted(found, key=lambda one: one.__name__))
