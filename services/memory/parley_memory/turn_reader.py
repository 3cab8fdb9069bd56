"""Reads the answer of one turn, for a client that comes back when nothing else of the turn is left."""

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.memory import ReadTurn, StoredTurn
from parley_contracts.turns import Support, TurnOutcome
from parley_storage import Database
from sqlalchemy import bindparam, select

from parley_memory.tables import messages
from parley_memory.turn_store import CITATIONS

_column = messages.c
_FIND_ANSWER = select(
    _column.conversation_id, _column.outcome, _column.text, _column.citations, _column.support
).where(
    _column.turn_id == bindparam("of_turn"),
    _column.role == "assistant",
    _column.owner_id == bindparam("of_owner"),
)


class TurnReader:
    """Finds turns by their id on the bus."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, request: ReadTurn) -> StoredTurn:
        """Return how a turn ended.

        Raises:
            ParleyError: `not_found` when it is another owner's, deleted, or has no answer.
        """
        values = {"of_turn": request.turn_id, "of_owner": request.owner_id}
        row = await self._database.read(lambda connection: connection.execute(_FIND_ANSWER, values).first())
        if row is None or row.outcome is None:
            raise ParleyError(ErrorCode.NOT_FOUND, "There is no such turn.", field="turn_id")
        return StoredTurn(
            conversation_id=row.conversation_id,
            outcome=TurnOutcome(row.outcome),
            text=row.text,
            citations=() if row.citations is None else CITATIONS.validate_json(row.citations),
            support=row.support and Support(row.support),
        )
