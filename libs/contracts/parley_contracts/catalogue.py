"""Every channel: its subject, what travels on it, who sends and who receives, and what it means."""

from pydantic import BaseModel

from parley_contracts import (
    browser,
    client_frames,
    feedback,
    health,
    memory,
    npu,
    rag,
    subjects,
    submissions,
    turn_events,
    turns,
)
from parley_contracts.accounts_channels import ACCOUNTS_CHANNELS
from parley_contracts.attachment_channels import ATTACHMENT_CHANNELS
from parley_contracts.audit_channels import AUDIT_CHANNELS
from parley_contracts.bots_channels import BOTS_CHANNELS
from parley_contracts.channel import CORE, Channel, ChannelKind, SocketChannel
from parley_contracts.channel import request_channel as _request
from parley_contracts.data_rights_channels import DATA_RIGHTS_CHANNELS
from parley_contracts.groups_channels import GROUPS_CHANNELS
from parley_contracts.llm_channels import LLM_CHANNELS
from parley_contracts.notices_channels import NOTICES_CHANNELS
from parley_contracts.replies import Done
from parley_contracts.tool_channels import TOOL_CHANNELS
from parley_contracts.usage_channels import USAGE_CHANNELS

RELAYED_EVENTS: tuple[type[turn_events.TurnEvent], ...] = (
    turn_events.EpochStarted,
    turn_events.StageChanged,
    turn_events.ContextReady,
    turn_events.TextDelta,
    turn_events.ReasoningDelta,
    turn_events.ToolCallDelta,
    turn_events.ToolCalled,
    turn_events.ToolFinished,
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
    _request(
        "gateway",
        subjects.ALL_SUBMITS,
        submissions.SubmitTurn,
        submissions.TurnSubmitted,
        "Start a turn for an outside service, which follows its events itself.",
        sender="the outside service named",
        parameters=("user",),
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

RAG_CHANNELS = (
    Channel(
        subjects.RAG_INGEST,
        ChannelKind.COMMAND,
        "INGEST",
        (rag.IngestDocument,),
        "gateway, rag",
        "one rag worker",
        "Read, cut, embed and index a document.",
    ),
    Channel(
        subjects.ALL_INGEST_EVENTS,
        ChannelKind.EVENT,
        CORE,
        (rag.DocumentChanged,),
        "rag",
        "every watcher",
        "A document has changed; one that is missed is made up for by the next, or by reading it.",
        parameters=("document_id",),
        is_bare=True,
    ),
    _request("rag", subjects.RAG_SEARCH, rag.Search, rag.SearchResults, "The best passages for a query."),
    _request("rag", subjects.RAG_CREATE_DOCUMENT, rag.CreateDocument, rag.DocumentCreated, "Take an upload."),
    _request(
        "rag",
        subjects.RAG_ADD_DOCUMENT,
        rag.AddDocument,
        rag.Document,
        "Take a whole document and ingest it.",
        sender="outside services",
    ),
    _request(
        "rag", subjects.RAG_READ_DOCUMENT, rag.ReadDocument, rag.Document, "One document, how it stands."
    ),
    _request("rag", subjects.RAG_CANCEL_DOCUMENT, rag.CancelDocument, rag.Document, "Index it no further."),
    _request("rag", subjects.RAG_REINDEX_DOCUMENT, rag.ReindexDocument, rag.Document, "Read it again."),
    _request("rag", subjects.RAG_LIST_DOCUMENTS, rag.ListDocuments, rag.DocumentList, "Newest first."),
    _request("rag", subjects.RAG_DELETE_DOCUMENT, rag.DeleteDocument, Done, "Remove it and all made of it."),
    _request(
        "rag", subjects.RAG_READ_PASSAGE, rag.ReadPassage, rag.PassageText, "A span and its surroundings."
    ),
    _request("rag", subjects.RAG_LIST_COLLECTIONS, rag.ListCollections, rag.CollectionList, "All, by name."),
    _request(
        "rag",
        subjects.RAG_READ_COLLECTION,
        rag.ReadCollection,
        rag.CollectionStatistics,
        "One collection and what it holds.",
    ),
    _request(
        "rag",
        subjects.RAG_REINDEX_COLLECTION,
        rag.ReindexCollection,
        rag.CollectionReindexed,
        "Read its documents again.",
    ),
    _request(
        "rag", subjects.RAG_CREATE_COLLECTION, rag.CreateCollection, rag.Collection, "Make a collection."
    ),
    _request(
        "rag", subjects.RAG_DELETE_COLLECTION, rag.DeleteCollection, Done, "Remove it with its documents."
    ),
    _request(
        "rag",
        subjects.RAG_RATE_CITATION,
        feedback.RateCitation,
        feedback.CitationFeedback,
        "Keep what the owner thinks of a citation.",
    ),
    _request(
        "rag",
        subjects.RAG_LIST_FEEDBACK,
        feedback.ListFeedback,
        feedback.FeedbackList,
        "The owner's verdicts, newest first.",
    ),
    _request("rag", subjects.RAG_DELETE_FEEDBACK, feedback.DeleteFeedback, Done, "Take a verdict back."),
    _request(
        "rag",
        subjects.RAG_COUNT_CITATIONS,
        feedback.CountCitations,
        Done,
        "How many passages answers were given and cited.",
    ),
    _request(
        "rag",
        subjects.RAG_READ_QUALITY,
        feedback.ReadQuality,
        feedback.Quality,
        "How well retrieval has done in a collection.",
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
    *ATTACHMENT_CHANNELS,
    *ACCOUNTS_CHANNELS,
    *BOTS_CHANNELS,
    *NOTICES_CHANNELS,
    *DATA_RIGHTS_CHANNELS,
    *AUDIT_CHANNELS,
    *GROUPS_CHANNELS,
    *USAGE_CHANNELS,
    *TOOL_CHANNELS,
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
