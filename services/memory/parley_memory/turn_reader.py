"""Reads the answer of one turn, for a client that comes back when nothing else of the turn is left."""

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.memory import ReadTurn, StoredTurn
from parley_contracts.turns import TurnOutcome
from sqlalchemy import select

from parley_memory.database import Database
from parley_memory.tables import messages
from parley_memory.turn_store import CITATIONS


class TurnReader:
    """Finds turns by their id on the bus."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, request: ReadTurn) -> StoredTurn:
        """Return how a turn ended.

        Raises:
            ParleyError: `not_found` when it is another owner's, deleted, or has no answer.
        """
        column = messages.c
        query = select(column.conversation_id, column.outcome, column.text, column.citations).where(
            column.turn_id == request.turn_id,
            column.role == "assistant",
            column.owner_id == request.owner_id,
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None or row.outcome is None:
            raise ParleyError(ErrorCode.NOT_FOUND, "There is no such turn.", field="turn_id")
        return StoredTurn(
            conversation_id=row.conversation_id,
            outcome=TurnOutcome(row.outcome),
            text=row.text,
            citations=() if row.citations is None else CITATIONS.validate_json(row.citations),
        )
