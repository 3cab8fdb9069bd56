"""Whose a conversation is. Another owner's, a deleted one and a missing one are told apart by nobody."""

from dataclasses import dataclass

from parley_contracts.errors import ErrorCode, ParleyError
from sqlalchemy import Connection, bindparam, select
from sqlalchemy.engine import Row

from parley_memory.tables import conversations

MAX_ID_CHARS = 128

_FIND = select(
    conversations.c.id,
    conversations.c.title,
    conversations.c.is_renamed,
    conversations.c.turns,
    conversations.c.created_at_ms,
    conversations.c.updated_at_ms,
).where(
    conversations.c.id == bindparam("of_conversation"),
    conversations.c.owner_id == bindparam("of_owner"),
    conversations.c.deleted_at_ms.is_(None),
)
_FIND_AND_LOCK = _FIND.with_for_update()


def conversation_not_found() -> ParleyError:
    """Return the one error for every conversation that is not the owner's to see."""
    return ParleyError(ErrorCode.NOT_FOUND, "There is no such conversation.", field="conversation_id")


@dataclass(frozen=True, slots=True)
class OwnedConversation:
    """A conversation that its owner named."""

    owner_id: str
    id: str

    def require_storable(self) -> None:
        """Raise `invalid_request` when the id is no id that a conversation may have."""
        if not 1 <= len(self.id) <= MAX_ID_CHARS:
            raise ParleyError(
                ErrorCode.INVALID_REQUEST,
                f"conversation_id must have 1 to {MAX_ID_CHARS} characters.",
                field="conversation_id",
            )

    def require(
        self, connection: Connection, *, for_update: bool = False
    ) -> Row[str, str, bool, int, int, int]:
        """Return the conversation's row (id, title, is_renamed, turns, created_at_ms, updated_at_ms).

        Args:
            connection: Where to look.
            for_update: Keep other writers away from the conversation until the transaction ends.

        Raises:
            ParleyError: `not_found` when it is missing, deleted or another owner's.
        """
        query = _FIND_AND_LOCK if for_update else _FIND
        found = connection.execute(query, {"of_conversation": self.id, "of_owner": self.owner_id}).first()
        if found is None:
            raise conversation_not_found()
        return found
