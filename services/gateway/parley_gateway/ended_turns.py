"""How a turn ended whose log has expired: from its seal, or from memory when that has expired as well."""

from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.memory import ReadTurn, StoredTurn
from parley_contracts.turn_events import LAST_SEQ, Sync
from parley_contracts.turns import EPOCH_SPAN, PenClaim, Seal, TurnRef
from parley_messaging import Bus
from parley_messaging.message_headers import now_ms
from parley_messaging.pen import Pen
from parley_messaging.queues import TURNS

READ_S = 2.0
SETTLED_MS = 10_000
"""After this nothing is added to an ended turn's log: a writer repeats what was lost within 8 s, and a
replica that has not received it yet looks like a log that has expired."""


class EndedTurns:
    """Makes the `sync` frame that stands in place of a turn's log."""

    def __init__(self, bus: Bus, pen: Pen) -> None:
        self._bus = bus
        self._pen = pen

    async def find(self, ref: TurnRef) -> Sync | None:
        """Return how the turn ended; None while it has not, or when nobody knows it.

        Raises:
            ParleyError: The pen or memory cannot be asked now.
        """
        records = await self._records(ref.turn_id)
        waits = await self._bus.last_stored(TURNS.stream, subjects.turn_start(ref.turn_id)) is not None
        if not records:
            return None if waits else await self.find_stored(ref)
        seal = records[-1]
        # The job is acknowledged when the terminal event is stored: until then that is still to come.
        if waits or not isinstance(seal, Seal) or now_ms() - seal.sealed_at_ms < SETTLED_MS:
            return None
        return Sync(
            seq=len(records) * EPOCH_SPAN,
            turn_id=ref.client_turn_id,
            conversation_id=seal.conversation_id,
            outcome=seal.outcome,
            text=seal.text,
            citations=seal.citations,
            support=seal.support,
        )

    async def _records(self, turn_id: str) -> list[PenClaim | Seal]:
        records: list[PenClaim | Seal] = []
        while (record := await self._pen.read(turn_id, len(records) + 1, within_s=0)) is not None:
            records.append(record)
        return records

    async def find_stored(self, ref: TurnRef) -> Sync | None:
        """Return the answer that memory keeps; None when it keeps none for this owner.

        Raises:
            ParleyError: Memory cannot be asked now.
        """
        request = ReadTurn(owner_id=ref.owner_id, turn_id=ref.turn_id)
        try:
            found = await self._bus.request(subjects.MEMORY_READ_TURN, request, StoredTurn, timeout_s=READ_S)
        except ParleyError as error:
            if error.code is ErrorCode.NOT_FOUND:
                return None
            raise
        return Sync(
            seq=LAST_SEQ,
            turn_id=ref.client_turn_id,
            conversation_id=found.conversation_id,
            outcome=found.outcome,
            text=found.text,
            citations=found.citations,
            support=found.support,
        )
