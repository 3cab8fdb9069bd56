"""Requests to the memory service: subject -> function."""

from parley_contracts import subjects
from parley_contracts.attachments import (
    CreateAttachment,
    DeleteAttachment,
    FinishAttachment,
    ListAttachments,
    UseAttachments,
)
from parley_contracts.data_rights import EraseUser, ExportUser
from parley_contracts.memory import (
    ConversationList,
    ConversationMessages,
    DeleteConversation,
    History,
    ListConversations,
    ReadConversation,
    ReadHistory,
    ReadTurn,
    RenameConversation,
    Stored,
    StoredTurn,
    StoreTurn,
    StoreUserMessage,
)
from parley_contracts.replies import Done
from parley_messaging import Service

from parley_memory.attachment_shelf import AttachmentShelf
from parley_memory.conversation_shelf import ConversationShelf
from parley_memory.data_rights import DataRights
from parley_memory.history import HistoryReader
from parley_memory.metrics import MemoryMetrics
from parley_memory.outbox import Outbox
from parley_memory.turn_reader import TurnReader
from parley_memory.turn_store import TurnStore


class MemoryHandlers:
    """Answers requests; every one names its owner, and only that owner's rows are touched."""

    def __init__(
        self,
        store: TurnStore,
        history: HistoryReader,
        turns: TurnReader,
        shelf: ConversationShelf,
        *,
        outbox: Outbox,
        metrics: MemoryMetrics,
    ) -> None:
        self._store = store
        self._history = history
        self._turns = turns
        self._shelf = shelf
        self._outbox = outbox
        self._metrics = metrics

    async def store_user_message(self, request: StoreUserMessage) -> Stored:
        is_new = await self._store.store_user_message(request)
        self._metrics.count_store("user_message", is_new=is_new)
        return Stored(is_new=is_new)

    async def store_turn(self, request: StoreTurn) -> Stored:
        try:
            is_new = await self._store.store_turn(request)
        finally:
            # Also when the caller's deadline passes while the commit goes through.
            self._outbox.wake()
        self._metrics.count_store("turn", is_new=is_new)
        return Stored(is_new=is_new)

    async def read_history(self, request: ReadHistory) -> History:
        return await self._history.read(request)

    async def read_turn(self, request: ReadTurn) -> StoredTurn:
        return await self._turns.read(request)

    async def list_conversations(self, request: ListConversations) -> ConversationList:
        return await self._shelf.list(request)

    async def read_conversation(self, request: ReadConversation) -> ConversationMessages:
        return await self._shelf.read(request)

    async def rename_conversation(self, request: RenameConversation) -> Done:
        await self._shelf.rename(request)
        return Done()

    async def delete_conversation(self, request: DeleteConversation) -> Done:
        await self._shelf.delete(request)
        return Done()


def bind(service: Service, handlers: MemoryHandlers, rights: DataRights) -> None:
    """Answer every `memory.*` subject."""
    service.answer(subjects.MEMORY_EXPORT_USER, ExportUser, rights.export, concurrency=2)
    service.answer(subjects.MEMORY_ERASE_USER, EraseUser, rights.erase, concurrency=2)
    service.answer(subjects.MEMORY_STORE_USER_MESSAGE, StoreUserMessage, handlers.store_user_message)
    service.answer(subjects.MEMORY_STORE_TURN, StoreTurn, handlers.store_turn)
    service.answer(subjects.MEMORY_READ_HISTORY, ReadHistory, handlers.read_history)
    service.answer(subjects.MEMORY_READ_TURN, ReadTurn, handlers.read_turn)
    service.answer(subjects.MEMORY_LIST_CONVERSATIONS, ListConversations, handlers.list_conversations)
    service.answer(subjects.MEMORY_READ_CONVERSATION, ReadConversation, handlers.read_conversation)
    service.answer(subjects.MEMORY_RENAME_CONVERSATION, RenameConversation, handlers.rename_conversation)
    service.answer(subjects.MEMORY_DELETE_CONVERSATION, DeleteConversation, handlers.delete_conversation)


def bind_attachments(service: Service, shelf: AttachmentShelf) -> None:
    """Answer what is asked about files that are sent."""
    service.answer(subjects.MEMORY_CREATE_ATTACHMENT, CreateAttachment, shelf.create)
    service.answer(subjects.MEMORY_FINISH_ATTACHMENT, FinishAttachment, shelf.finish)
    service.answer(subjects.MEMORY_USE_ATTACHMENTS, UseAttachments, shelf.use)
    service.answer(subjects.MEMORY_LIST_ATTACHMENTS, ListAttachments, shelf.list)
    service.answer(subjects.MEMORY_DELETE_ATTACHMENT, DeleteAttachment, shelf.delete)
