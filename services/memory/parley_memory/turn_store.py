"""Writes turns, each message exactly once: its key is the turn's id on the bus and its role."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from parley_contracts.citations import Citation
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.memory import StoreTurn, StoreUserMessage
from parley_contracts.turns import TurnRef
from pydantic import TypeAdapter
from sqlalchemy import case, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from parley_memory.database import Database
from parley_memory.ownership import OwnedConversation, conversation_not_found
from parley_memory.tables import StorableText, conversations, messages, outbox
from parley_memory.title import title_of

CITATIONS: TypeAdapter[tuple[Citation, ...]] = TypeAdapter(tuple[Citation, ...])


@dataclass(frozen=True, slots=True)
class _Question:
    """What the user wrote in a turn, and when."""

    turn: TurnRef
    conversation: OwnedConversation
    text: str
    at_ms: int


class TurnStore:
    """Writes messages; a return means that they are on disk."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def store_user_message(self, request: StoreUserMessage) -> bool:
        """Keep what the user wrote; return whether it is new.

        Raises:
            ParleyError: `not_found` when the conversation is deleted or another owner's, `conflict` when the
                turn stands in another conversation, `invalid_request` for an id that cannot be kept.
        """
        conversation = OwnedConversation(request.owner_id, request.conversation_id)
        _require_own(request.turn, conversation)
        question = _Question(request.turn, conversation, request.text, request.created_at_ms)

        async def store(connection: AsyncConnection) -> bool:
            await self._open_conversation(connection, question)
            return await self._store_question(connection, question)

        return await self._database.write(store)

    async def store_turn(self, request: StoreTurn) -> bool:
        """Keep both messages of a turn, and the event that tells of it; return whether the answer is new.

        Raises:
            ParleyError: As `store_user_message`; `invalid_request` for a turn that is not to be kept.
        """
        seal = request.seal
        if not seal.is_stored:
            raise ParleyError(
                ErrorCode.INVALID_REQUEST, "The turn is not to be stored.", field="seal.is_stored"
            )
        conversation = OwnedConversation(request.owner_id, seal.conversation_id)
        _require_own(seal.turn, conversation)
        question = _Question(seal.turn, conversation, seal.user_text, seal.accepted_at_ms)

        async def store(connection: AsyncConnection) -> bool:
            await self._open_conversation(connection, question)
            await self._store_question(connection, question)
            is_new = await self._store_answer(connection, request)
            if is_new:
                await self._write_event(connection, request)
            return is_new

        return await self._database.write(store)

    async def _open_conversation(self, connection: AsyncConnection, question: _Question) -> None:
        # The insert waits for another transaction that opens the same conversation, and the row stays
        # locked from here on, so that stores and a deletion of one conversation follow one another.
        insert = self._database.insert(conversations).values(
            id=question.conversation.id,
            owner_id=question.conversation.owner_id,
            title=title_of(question.text),
            is_renamed=False,
            turns=0,
            created_at_ms=question.at_ms,
            updated_at_ms=question.at_ms,
        )
        await connection.execute(insert.on_conflict_do_nothing())
        await question.conversation.require(connection, for_update=True)

    async def _store_question(self, connection: AsyncConnection, question: _Question) -> bool:
        values = {
            "turn_id": question.turn.turn_id,
            "role": "user",
            "conversation_id": question.conversation.id,
            "owner_id": question.conversation.owner_id,
            "client_turn_id": question.turn.client_turn_id,
            "turn_at_ms": question.at_ms,
            "text": question.text,
            "created_at_ms": question.at_ms,
        }
        if not await self._insert_message(connection, values):
            await _require_same_place(connection, question)
            return False
        await _count_turn(connection, question)
        return True

    async def _store_answer(self, connection: AsyncConnection, request: StoreTurn) -> bool:
        seal = request.seal
        turn_at_ms = select(messages.c.turn_at_ms).where(
            messages.c.turn_id == seal.turn.turn_id, messages.c.role == "user"
        )
        values = {
            "turn_id": seal.turn.turn_id,
            "role": "assistant",
            "conversation_id": seal.conversation_id,
            "owner_id": request.owner_id,
            "client_turn_id": seal.turn.client_turn_id,
            "turn_at_ms": turn_at_ms.scalar_subquery(),
            "text": seal.text,
            "outcome": seal.outcome.value,
            "citations": CITATIONS.dump_json(seal.citations).decode() if seal.citations else None,
            "model": seal.model,
            "created_at_ms": seal.sealed_at_ms,
        }
        if not await self._insert_message(connection, values):
            return False
        await connection.execute(
            update(conversations)
            .where(
                conversations.c.id == seal.conversation_id, conversations.c.updated_at_ms < seal.sealed_at_ms
            )
            .values(updated_at_ms=seal.sealed_at_ms)
        )
        return True

    async def _insert_message(self, connection: AsyncConnection, values: Mapping[str, object]) -> bool:
        insert = self._database.insert(messages).values(values).on_conflict_do_nothing()
        return (await connection.execute(insert.returning(messages.c.turn_id))).first() is not None

    async def _write_event(self, connection: AsyncConnection, request: StoreTurn) -> None:
        insert = self._database.insert(outbox).values(
            turn_id=request.seal.turn.turn_id,
            owner_id=request.owner_id,
            conversation_id=request.seal.conversation_id,
            outcome=request.seal.outcome.value,
            stored_at_ms=time.time_ns() // 1_000_000,
        )
        await connection.execute(insert.on_conflict_do_nothing())


def _require_own(turn: TurnRef, conversation: OwnedConversation) -> None:
    if turn.owner_id != conversation.owner_id:
        raise conversation_not_found()
    conversation.require_storable()


async def _require_same_place(connection: AsyncConnection, question: _Question) -> None:
    found = await connection.execute(
        select(messages.c.owner_id, messages.c.conversation_id).where(
            messages.c.turn_id == question.turn.turn_id, messages.c.role == "user"
        )
    )
    owner_id, conversation_id = found.one()
    if owner_id != question.conversation.owner_id:
        raise conversation_not_found()
    if conversation_id != question.conversation.id:
        raise ParleyError(
            ErrorCode.CONFLICT, "The turn stands in another conversation.", field="conversation_id"
        )


async def _count_turn(connection: AsyncConnection, question: _Question) -> None:
    # A turn may be stored after a later one; the title follows the earliest question until it is given.
    column = conversations.c
    is_first = column.created_at_ms > question.at_ms
    await connection.execute(
        update(conversations)
        .where(column.id == question.conversation.id)
        .values(
            turns=column.turns + 1,
            title=case(
                (is_first & column.is_renamed.is_(False), literal(title_of(question.text), StorableText())),
                else_=column.title,
            ),
            created_at_ms=case((is_first, question.at_ms), else_=column.created_at_ms),
            updated_at_ms=case(
                (column.updated_at_ms < question.at_ms, question.at_ms), else_=column.updated_at_ms
            ),
        )
    )
