"""What was said before, cut to what a prompt has room for."""

from parley_contracts.memory import History, ReadHistory
from parley_contracts.turns import ChatMessage, TurnOutcome
from sqlalchemy import Select, and_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from parley_memory.database import Database
from parley_memory.ownership import OwnedConversation
from parley_memory.tables import messages

_PAIRS_AT_ONCE = 16
_ANSWERED = (TurnOutcome.COMPLETED.value, TurnOutcome.CANCELLED.value)

_question = messages.alias("question")
_answer = messages.alias("answer")


class HistoryReader:
    """Reads the latest answered turns of a conversation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, request: ReadHistory) -> History:
        """Return question and answer of the latest turns, oldest first, within `max_chars` code points.

        The first turn that does not fit whole ends the history, so that it has no hole.

        Raises:
            ParleyError: `not_found` when the conversation is missing or another owner's.
        """
        owned = OwnedConversation(request.owner_id, request.conversation_id)
        async with self._database.read() as connection:
            await owned.require(connection)
            query = await _turns_latest_first(connection, request)
            pairs = await _take(connection, query, request.max_chars)
        latest_last = reversed(pairs)
        return History(messages=tuple(message for pair in latest_last for message in pair))


async def _turns_latest_first(connection: AsyncConnection, request: ReadHistory) -> Select[str, str]:
    place = tuple_(_question.c.turn_at_ms, _question.c.turn_id)
    query = (
        select(_question.c.text, _answer.c.text)
        .join(_answer, and_(_answer.c.turn_id == _question.c.turn_id, _answer.c.role == "assistant"))
        .where(
            _question.c.conversation_id == request.conversation_id,
            _question.c.role == "user",
            _answer.c.outcome.in_(_ANSWERED),
            _answer.c.text != "",
        )
        .order_by(_question.c.turn_at_ms.desc(), _question.c.turn_id.desc())
        .execution_options(yield_per=_PAIRS_AT_ONCE)
    )
    before = await _place_of(connection, request)
    return query if before is None else query.where(place < tuple_(*before))


async def _place_of(connection: AsyncConnection, request: ReadHistory) -> tuple[int, str] | None:
    """Return where `before_turn_id` stands; None when it is not asked or not stored here."""
    if request.before_turn_id is None:
        return None
    found = await connection.execute(
        select(messages.c.turn_at_ms, messages.c.turn_id).where(
            messages.c.turn_id == request.before_turn_id,
            messages.c.role == "user",
            messages.c.conversation_id == request.conversation_id,
        )
    )
    row = found.first()
    return None if row is None else (row.turn_at_ms, row.turn_id)


async def _take(
    connection: AsyncConnection, query: Select[str, str], max_chars: int
) -> list[tuple[ChatMessage, ChatMessage]]:
    pairs: list[tuple[ChatMessage, ChatMessage]] = []
    left_chars = max_chars
    async with connection.stream(query) as rows:
        async for question, answer in rows:
            left_chars -= len(question) + len(answer)
            if left_chars < 0:
                break
            pairs.append(
                (ChatMessage(role="user", content=question), ChatMessage(role="assistant", content=answer))
            )
    return pairs
