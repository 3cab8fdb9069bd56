"""What was said before, cut to what a prompt has room for."""

from collections.abc import Mapping, Sequence

from parley_contracts.attachments import KeptAttachment
from parley_contracts.memory import History, ReadHistory
from parley_contracts.turns import ChatMessage, TurnOutcome
from parley_storage import Database, StorableText
from sqlalchemy import BigInteger, Connection, and_, bindparam, select, tuple_

from parley_memory.attachment_links import attachments_of
from parley_memory.ownership import OwnedConversation
from parley_memory.tables import messages

_Pair = tuple[str, str, str]
"""Question, answer, and the turn's id on the bus."""

_PAIRS_AT_ONCE = 16
_ANSWERED = (TurnOutcome.COMPLETED.value, TurnOutcome.CANCELLED.value)

_question = messages.alias("question")
_answer = messages.alias("answer")

_LATEST_FIRST = (
    select(_question.c.text, _answer.c.text, _question.c.turn_id)
    .join(_answer, and_(_answer.c.turn_id == _question.c.turn_id, _answer.c.role == "assistant"))
    .where(
        _question.c.conversation_id == bindparam("of_conversation"),
        _question.c.role == "user",
        _answer.c.outcome.in_(_ANSWERED),
        _answer.c.text != "",
    )
    .order_by(_question.c.turn_at_ms.desc(), _question.c.turn_id.desc())
    .execution_options(yield_per=_PAIRS_AT_ONCE)
)
_LATEST_FIRST_BEFORE = _LATEST_FIRST.where(
    tuple_(_question.c.turn_at_ms, _question.c.turn_id)
    < tuple_(bindparam("before_ms", type_=BigInteger()), bindparam("before_id", type_=StorableText()))
)
_PLACE = select(messages.c.turn_at_ms, messages.c.turn_id).where(
    messages.c.turn_id == bindparam("of_turn"),
    messages.c.role == "user",
    messages.c.conversation_id == bindparam("of_conversation"),
)


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

        def read(connection: Connection) -> tuple[list[_Pair], Mapping[str, Sequence[KeptAttachment]]]:
            owned.require(connection)
            found = _latest_that_fit(connection, request)
            return found, attachments_of(connection, [turn_id for _, _, turn_id in found])

        pairs, sent = await self._database.read(read)
        return History(
            messages=tuple(
                message
                for question, answer, turn_id in reversed(pairs)
                for message in (
                    ChatMessage(
                        role="user",
                        content=question,
                        attachments=tuple(one.id for one in sent.get(turn_id, ())),
                    ),
                    ChatMessage(role="assistant", content=answer),
                )
            ),
            attachments=tuple({one.id: one for files in sent.values() for one in files}.values()),
        )


def _latest_that_fit(connection: Connection, request: ReadHistory) -> list[_Pair]:
    query, values = _LATEST_FIRST, {"of_conversation": request.conversation_id}
    if place := _place_of(connection, request):
        query, values = _LATEST_FIRST_BEFORE, {**values, **place}
    pairs: list[_Pair] = []
    left_chars = request.max_chars
    with connection.execute(query, values) as rows:
        for question, answer, turn_id in rows:
            left_chars -= len(question) + len(answer)
            if left_chars < 0:
                break
            pairs.append((question, answer, turn_id))
    return pairs


def _place_of(connection: Connection, request: ReadHistory) -> dict[str, object] | None:
    """Return where `before_turn_id` stands; None when it is not asked or not stored here."""
    if request.before_turn_id is None:
        return None
    values = {"of_turn": request.before_turn_id, "of_conversation": request.conversation_id}
    row = connection.execute(_PLACE, values).first()
    return None if row is None else {"before_ms": row.turn_at_ms, "before_id": row.turn_id}
