"""Writes turns, each message exactly once: its key is the turn's id on the bus and its role."""

import time
from dataclasses import dataclass

from parley_contracts.citations import Citation
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.memory import StoreTurn, StoreUserMessage
from parley_contracts.turns import TurnRef
from parley_storage import Database
from pydantic import TypeAdapter
from sqlalchemy import Connection

from parley_memory.attachment_links import link_attachments
from parley_memory.data_rights import is_erased
from parley_memory.ownership import OwnedConversation, conversation_not_found
from parley_memory.title import title_of
from parley_memory.turn_statements import COUNT_TURN, FIND_QUESTION, TurnStatements

CITATIONS: TypeAdapter[tuple[Citation, ...]] = TypeAdapter(tuple[Citation, ...])


@dataclass(frozen=True, slots=True)
class _Question:
    """What the user wrote in a turn, and when."""

    turn: TurnRef
    conversation: OwnedConversation
    text: str
    at_ms: int
    attachments: tuple[str, ...]


class TurnStore:
    """Writes messages; a return means that they are on disk."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._statements = TurnStatements(database.insert)

    async def store_user_message(self, request: StoreUserMessage) -> bool:
        """Keep what the user wrote; return whether it is new.

        Raises:
            ParleyError: `not_found` when the conversation is deleted or another owner's, `conflict` when the
                turn stands in another conversation, `invalid_request` for an id that cannot be kept.
        """
        conversation = OwnedConversation(request.owner_id, request.conversation_id)
        _require_own(request.turn, conversation)
        question = _Question(
            request.turn, conversation, request.text, request.created_at_ms, request.attachments
        )

        def store(connection: Connection) -> bool:
            self._open_conversation(connection, question, latest_ms=question.at_ms)
            return self._store_question(connection, question)

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
        question = _Question(seal.turn, conversation, seal.user_text, seal.accepted_at_ms, seal.attachments)

        def store(connection: Connection) -> bool:
            self._open_conversation(connection, question, latest_ms=seal.sealed_at_ms)
            is_new = self._store_answer(connection, request)
            if not is_new:  # it is a repeat, or its question is not there yet
                self._store_question(connection, question)
                is_new = self._store_answer(connection, request)
            if is_new:
                self._write_event(connection, request)
            return is_new

        return await self._database.write(store)

    def _open_conversation(self, connection: Connection, question: _Question, *, latest_ms: int) -> None:
        if is_erased(connection, question.conversation.owner_id):
            raise conversation_not_found()
        values = {
            "id": question.conversation.id,
            "owner_id": question.conversation.owner_id,
            "title": title_of(question.text),
            "is_renamed": False,
            "turns": 0,
            "created_at_ms": question.at_ms,
            "updated_at_ms": latest_ms,
        }
        if connection.execute(self._statements.open_conversation, values).first() is None:
            raise conversation_not_found()

    def _store_question(self, connection: Connection, question: _Question) -> bool:
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
        if connection.execute(self._statements.insert_question, values).first() is None:
            _require_same_place(connection, question)
            return False
        if question.attachments:
            link_attachments(connection, question.conversation, question.turn.turn_id, question.attachments)
        counted = {
            "of_conversation": question.conversation.id,
            "at_ms": question.at_ms,
            "first_words": title_of(question.text),
        }
        connection.execute(COUNT_TURN, counted)
        return True

    def _store_answer(self, connection: Connection, request: StoreTurn) -> bool:
        seal = request.seal
        values = {
            "of_turn": seal.turn.turn_id,
            "of_owner": request.owner_id,
            "of_conversation": seal.conversation_id,
            "answer_text": seal.text,
            "answer_outcome": seal.outcome.value,
            "answer_citations": CITATIONS.dump_json(seal.citations).decode() if seal.citations else None,
            "answer_support": seal.support and seal.support.value,
            "answer_model": seal.model,
            "at_ms": seal.sealed_at_ms,
        }
        return connection.execute(self._statements.insert_answer, values).first() is not None

    def _write_event(self, connection: Connection, request: StoreTurn) -> None:
        values = {
            "turn_id": request.seal.turn.turn_id,
            "owner_id": request.owner_id,
            "conversation_id": request.seal.conversation_id,
            "outcome": request.seal.outcome.value,
            "stored_at_ms": time.time_ns() // 1_000_000,
        }
        connection.execute(self._statements.insert_event, values)


def _require_own(turn: TurnRef, conversation: OwnedConversation) -> None:
    if turn.owner_id != conversation.owner_id:
        raise conversation_not_found()
    conversation.require_storable()


def _require_same_place(connection: Connection, question: _Question) -> None:
    owner_id, conversation_id = connection.execute(FIND_QUESTION, {"of_turn": question.turn.turn_id}).one()
    if owner_id != question.conversation.owner_id:
        raise conversation_not_found()
    if conversation_id != question.conversation.id:
        raise ParleyError(
            ErrorCode.CONFLICT, "The turn stands in another conversation.", field="conversation_id"
        )
