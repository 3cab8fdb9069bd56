"""Conversations as their owner handles them: list, read, rename, delete."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from parley_contracts.attachments import KeptAttachment
from parley_contracts.memory import (
    Conversation,
    ConversationList,
    ConversationMessages,
    DeleteConversation,
    ListConversations,
    ReadConversation,
    RenameConversation,
    StoredMessage,
)
from parley_contracts.turns import Support, TurnOutcome
from parley_storage import Database
from sqlalchemy import Connection, Row, delete, func, select, tuple_, update

from parley_memory.attachment_links import attachments_of, release_attachments
from parley_memory.cursor import PageCursor
from parley_memory.data_rights import is_erased
from parley_memory.ownership import OwnedConversation
from parley_memory.tables import conversations, messages
from parley_memory.turn_store import CITATIONS

_ROWS_AT_ONCE = 64


class ConversationShelf:
    """An owner's conversations; `reply_bytes` bounds how much of one is read at once."""

    def __init__(self, database: Database, *, reply_bytes: int) -> None:
        self._database = database
        self._reply_bytes = reply_bytes

    async def list(self, request: ListConversations) -> ConversationList:
        """Return a page of conversations, the latest used first."""
        column = conversations.c
        query = (
            select(column.id, column.title, column.created_at_ms, column.updated_at_ms, column.turns)
            .where(column.owner_id == request.owner_id, column.deleted_at_ms.is_(None))
            .order_by(column.updated_at_ms.desc(), column.id.desc())
            .limit(request.limit + 1)
        )
        if request.cursor is not None:
            cursor = PageCursor.decode(request.cursor)
            here = tuple_(column.updated_at_ms, column.id)
            query = query.where(here < tuple_(cursor.at_ms, cursor.row_id))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        page = rows[: request.limit]
        return ConversationList(
            conversations=tuple(_conversation(row) for row in page),
            next_cursor=_cursor_behind(page[-1]) if len(rows) > len(page) else None,
        )

    async def read(self, request: ReadConversation) -> ConversationMessages:
        """Return a conversation with its latest messages, oldest first; `not_found` if it is not theirs."""
        owned = OwnedConversation(request.owner_id, request.conversation_id)

        def read(connection: Connection) -> tuple[Conversation, _TurnPage]:
            return _conversation(owned.require(connection)), self._turns(connection, request)

        conversation, page = await self._database.read(read)
        found = tuple(message for turn in reversed(page.turns) for message in turn)
        return ConversationMessages(conversation=conversation, messages=found, next_cursor=page.next_cursor)

    async def rename(self, request: RenameConversation) -> None:
        """Give a conversation a title; `not_found` when it is not the owner's."""
        owned = OwnedConversation(request.owner_id, request.conversation_id)

        def rename(connection: Connection) -> None:
            owned.require(connection, for_update=True)
            connection.execute(
                update(conversations)
                .where(conversations.c.id == owned.id)
                .values(title=request.title, is_renamed=True)
            )

        await self._database.write(rename)

    async def delete(self, request: DeleteConversation) -> None:
        """Remove a conversation's messages and title; its id and owner stay, to refuse late stores.

        Raises:
            ParleyError: `not_found` when it is not the owner's, or already deleted.
        """
        owned = OwnedConversation(request.owner_id, request.conversation_id)

        def remove(connection: Connection) -> None:
            if request.even_if_unknown and self._forbid(connection, owned):
                return
            owned.require(connection, for_update=True)
            connection.execute(delete(messages).where(messages.c.conversation_id == owned.id))
            release_attachments(connection, owned)
            connection.execute(
                update(conversations)
                .where(conversations.c.id == owned.id)
                .values(title="", turns=0, deleted_at_ms=time.time_ns() // 1_000_000)
            )

        await self._database.write(remove)
        await self._database.truncate_log()

    def _forbid(self, connection: Connection, owned: OwnedConversation) -> bool:
        """Leave the mark of a deleted conversation for an id that nothing is known of; False when it is."""
        if is_erased(connection, owned.owner_id):
            return True
        now_ms = time.time_ns() // 1_000_000
        mark = self._database.insert(conversations).values(
            id=owned.id,
            owner_id=owned.owner_id,
            title="",
            is_renamed=False,
            turns=0,
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
            deleted_at_ms=now_ms,
        )
        owned.require_storable()
        made = mark.on_conflict_do_nothing().returning(conversations.c.id)
        return connection.execute(made).first() is not None

    async def count(self) -> int:
        """Return how many conversations all owners have."""
        query = select(func.count()).select_from(conversations).where(conversations.c.deleted_at_ms.is_(None))
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    def _turns(self, connection: Connection, request: ReadConversation) -> "_TurnPage":
        """Return the latest turns before the cursor."""
        column = messages.c
        query = (
            select(messages)
            .where(column.conversation_id == request.conversation_id)
            .order_by(column.turn_at_ms.desc(), column.turn_id.desc(), column.role)
            .execution_options(yield_per=_ROWS_AT_ONCE)
        )
        if request.cursor is not None:
            cursor = PageCursor.decode(request.cursor)
            here = tuple_(column.turn_at_ms, column.turn_id)
            query = query.where(here < tuple_(cursor.at_ms, cursor.row_id))
        page = _TurnPage(request.limit, self._reply_bytes)
        with connection.execute(query) as rows:
            for row in rows:
                if not page.add(row):
                    break
        page.show(attachments_of(connection, page.turn_ids))
        return page


class _TurnPage:
    """Whole turns, newest first, up to a count and a size; the newest is taken whatever its size."""

    def __init__(self, limit: int, max_bytes: int) -> None:
        self.turns: list[list[StoredMessage]] = []
        self.next_cursor: str | None = None
        self._limit = limit
        self._left_bytes = max_bytes
        self._places: list[tuple[int, str]] = []

    def add(self, row: Row[*tuple[Any, ...]]) -> bool:
        """Take the next message; False when its turn does not fit any more and the page is done."""
        message, place = _message(row), (row.turn_at_ms, row.turn_id)
        self._left_bytes -= len(message.model_dump_json().encode()) + 1
        if self._places and self._places[-1] == place:
            self.turns[-1].insert(0, message)
        else:
            self.turns.append([message])
            self._places.append(place)
        if len(self.turns) > 1 and (self._left_bytes < 0 or len(self.turns) > self._limit):
            del self.turns[-1]
            self.next_cursor = PageCursor(*self._places[-2]).encode()
            return False
        return True

    @property
    def turn_ids(self) -> list[str]:
        """The ids of its turns on the bus."""
        return [turn_id for _, turn_id in self._places[: len(self.turns)]]

    def show(self, sent: Mapping[str, Sequence[KeptAttachment]]) -> None:
        """Say which files were sent with the questions, by the ids of their turns."""
        for turn, turn_id in zip(self.turns, self.turn_ids, strict=True):
            if turn_id in sent:
                files = tuple(one.shown() for one in sent[turn_id])
                turn[:] = [
                    one.model_copy(update={"attachments": files}) if one.role == "user" else one
                    for one in turn
                ]


def _conversation(row: Row[*tuple[Any, ...]]) -> Conversation:
    return Conversation(
        id=row.id,
        title=row.title,
        created_at_ms=row.created_at_ms,
        updated_at_ms=row.updated_at_ms,
        turns=row.turns,
    )


def _message(row: Row[*tuple[Any, ...]]) -> StoredMessage:
    return StoredMessage(
        turn_id=row.client_turn_id,
        role=row.role,
        text=row.text,
        outcome=None if row.outcome is None else TurnOutcome(row.outcome),
        citations=() if row.citations is None else CITATIONS.validate_json(row.citations),
        support=row.support and Support(row.support),
        model=row.model,
        created_at_ms=row.created_at_ms,
    )


def _cursor_behind(row: Row[*tuple[Any, ...]]) -> str:
    return PageCursor(row.updated_at_ms, row.id).encode()
