"""The statements that store a turn, built once: to build one costs several times what it costs to run it."""

from collections.abc import Callable

from parley_storage import Insert, StorableText
from sqlalchemy import BigInteger, Table, bindparam, case, literal, select, update

from parley_memory.tables import conversations, messages, outbox

_column = conversations.c
_TEXT = StorableText()
_TURN = bindparam("of_turn", type_=_TEXT)
_OWNER = bindparam("of_owner", type_=_TEXT)
_CONVERSATION = bindparam("of_conversation", type_=_TEXT)
_AT_MS = bindparam("at_ms", type_=BigInteger())


class TurnStatements:
    """What is executed to store a turn; `insert` is the dialect's."""

    def __init__(self, insert: Callable[[Table], Insert]) -> None:
        opening = insert(conversations)
        given = opening.excluded
        self.open_conversation = opening.on_conflict_do_update(
            index_elements=[_column.id],
            set_={
                "updated_at_ms": case(
                    (_column.updated_at_ms < given.updated_at_ms, given.updated_at_ms),
                    else_=_column.updated_at_ms,
                )
            },
            where=(_column.owner_id == given.owner_id) & _column.deleted_at_ms.is_(None),
        ).returning(_column.id)
        """Takes a row of `conversations`; returns nothing when its id is deleted or another owner's.

        The row stays locked, so that stores and a deletion of one conversation follow one another.
        """

        self.insert_question = insert(messages).on_conflict_do_nothing().returning(messages.c.turn_id)
        """Takes a row of `messages`; returns nothing when it is there already."""

        self.insert_answer = (
            insert(messages)
            .from_select([*_ANSWER], select(*_ANSWER.values()).where(*_IS_ITS_QUESTION))
            .on_conflict_do_nothing()
            .returning(messages.c.turn_id)
        )
        """Takes what is bound below; returns nothing when its question is missing, or it is there already."""

        self.insert_event = insert(outbox).on_conflict_do_nothing()


_question = messages.alias("question")
_IS_ITS_QUESTION = (
    _question.c.turn_id == _TURN,
    _question.c.role == "user",
    _question.c.owner_id == _OWNER,
    _question.c.conversation_id == _CONVERSATION,
)
_ANSWER = {
    "turn_id": _question.c.turn_id,
    "role": literal("assistant", _TEXT),
    "conversation_id": _question.c.conversation_id,
    "owner_id": _question.c.owner_id,
    "client_turn_id": _question.c.client_turn_id,
    "turn_at_ms": _question.c.turn_at_ms,
    "text": bindparam("answer_text", type_=_TEXT),
    "outcome": bindparam("answer_outcome", type_=_TEXT),
    "citations": bindparam("answer_citations", type_=_TEXT),
    "support": bindparam("answer_support", type_=_TEXT),
    "model": bindparam("answer_model", type_=_TEXT),
    "created_at_ms": _AT_MS,
}

FIND_QUESTION = select(messages.c.owner_id, messages.c.conversation_id).where(
    messages.c.turn_id == _TURN, messages.c.role == "user"
)

# A turn may be stored after a later one; the title follows the earliest question until it is given.
_is_first = _column.created_at_ms > _AT_MS
COUNT_TURN = (
    update(conversations)
    .where(_column.id == _CONVERSATION)
    .values(
        turns=_column.turns + 1,
        title=case(
            (_is_first & _column.is_renamed.is_(False), bindparam("first_words", type_=_TEXT)),
            else_=_column.title,
        ),
        created_at_ms=case((_is_first, _AT_MS), else_=_column.created_at_ms),
    )
)
